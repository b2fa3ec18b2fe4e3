// Rules for the Dockerfile, since no container engine needs to be there to check it. Pure: text in, faults out.

export type Instruction = { keyword: string; value: string };

export type DockerfileSurroundings = {
  /** Whether the path exists in the repository. */
  exists(path: string): boolean;
  dockerignore: string;
  /** Top folders of the workspaces in package.json. */
  workspaceFolders: readonly string[];
};

/** Every rule that the Dockerfile breaks, as a sentence; empty if none. */
export function lintDockerfile(text: string, surroundings: DockerfileSurroundings): string[] {
  const instructions = parseDockerfile(text);
  return [
    ...baseImageFaults(instructions),
    ...copyFaults(instructions, surroundings),
    ...finalStageFaults(instructions),
    ...installFaults(instructions),
    ...secretFaults(instructions),
  ];
}

/** Instructions with their continuation lines joined, comments left out. */
export function parseDockerfile(text: string): Instruction[] {
  const joined = text
    .split('\n')
    .filter((line) => !/^\s*#/.test(line))
    .join('\n')
    .replaceAll(/\\\n\s*/g, ' ');
  return joined.split('\n').flatMap((line) => {
    const match = /^\s*([A-Za-z]+)\s+(.*)$/.exec(line);
    return match === null ? [] : [{ keyword: (match[1] ?? '').toUpperCase(), value: (match[2] ?? '').trim() }];
  });
}

const valuesOf = (instructions: readonly Instruction[], keyword: string): string[] =>
  instructions.filter((one) => one.keyword === keyword).map((one) => one.value);

const stageNames = (instructions: readonly Instruction[]): string[] =>
  valuesOf(instructions, 'FROM').flatMap((value) => / AS (\S+)$/i.exec(value)?.[1] ?? []);

function baseImageFaults(instructions: readonly Instruction[]): string[] {
  const stages = stageNames(instructions);
  const images = valuesOf(instructions, 'FROM').map((value) => value.split(/\s+/)[0] ?? '');
  return images.filter((image) => !stages.includes(image)).flatMap((image) => imageFault(image) ?? []);
}

/** An image must name a version: what was tested is what runs. */
export function imageFault(image: string): string | undefined {
  const tag = /:([^/:@]+)(?:@|$)/.exec(image)?.[1];
  return tag === undefined || tag === 'latest' ? `the image "${image}" has no fixed version` : undefined;
}

function copyFaults(instructions: readonly Instruction[], { exists, dockerignore, workspaceFolders }: DockerfileSurroundings): string[] {
  const stages = stageNames(instructions);
  const copies = valuesOf(instructions, 'COPY').map((value) => {
    const words = value.split(/\s+/);
    const from = words.find((word) => word.startsWith('--from='))?.slice('--from='.length);
    return { from, sources: words.filter((word) => !word.startsWith('--')).slice(0, -1) };
  });
  const sources = copies.filter(({ from }) => from === undefined).flatMap((copy) => copy.sources);
  return [
    ...copies.flatMap(({ from }) => (from === undefined || stages.includes(from) ? [] : [`COPY --from=${from}: there is no such stage`])),
    ...sources.filter((path) => !exists(path)).map((path) => `COPY ${path}: there is no such path`),
    ...sources.filter((path) => isIgnored(path, dockerignore)).map((path) => `COPY ${path}: .dockerignore leaves it out`),
    ...workspaceFolders.filter((folder) => !sources.includes(folder)).map((folder) => `the workspace folder "${folder}" is not copied`),
  ];
}

// The ignore file begins with `*` and lets paths of the top folder in again, one by one.
function isIgnored(path: string, dockerignore: string): boolean {
  const lines = dockerignore.split('\n').map((line) => line.trim());
  return lines.includes('*') && !lines.includes(`!${path.split('/')[0]}`);
}

function finalStageFaults(instructions: readonly Instruction[]): string[] {
  const lastFrom = instructions.findLastIndex(({ keyword }) => keyword === 'FROM');
  const stage = instructions.slice(lastFrom + 1);
  const last = (keyword: string): string | undefined => valuesOf(stage, keyword).at(-1);
  const user = last('USER');
  return [
    ...(user === undefined || /^(root|0)(:|$)/.test(user) ? ['the container runs as root: USER is missing in the last stage'] : []),
    ...(last('HEALTHCHECK') === undefined ? ['HEALTHCHECK is missing in the last stage'] : []),
    ...(/^\[.*\]$/.test(last('CMD') ?? '')
      ? []
      : ['CMD must be there and in the exec form ["node", ...], so that signals reach the service']),
    ...(/CMD \[/.test(last('HEALTHCHECK') ?? 'CMD [') ? [] : ['HEALTHCHECK must be in the exec form']),
  ];
}

function installFaults(instructions: readonly Instruction[]): string[] {
  const installs = valuesOf(instructions, 'RUN').filter((value) => /\bnpm (ci|install|i)\b/.test(value));
  return installs.length > 0 && installs.every((value) => /\bnpm ci\b.*--omit=dev/.test(value))
    ? []
    : ['packages must be installed by "npm ci --omit=dev"'];
}

function secretFaults(instructions: readonly Instruction[]): string[] {
  const settings = [...valuesOf(instructions, 'ENV'), ...valuesOf(instructions, 'ARG')].join(' ');
  const names = [...settings.matchAll(/\b([A-Z_]*(?:PASSWORD|SECRET|TOKEN|KEY))\b/g)].map((match) => match[1] ?? '');
  return names.map((name) => `${name} must not be part of the image`);
}
