// Makes an address one that a browser opens. Repositories are written in many ways in package.json.

const SHORTHAND_PATTERN = /^(?:(github|gitlab|bitbucket):)?([\w.-]+\/[\w.-]+)$/;
const SSH_PATTERN = /^(?:(?:git\+)?ssh:\/\/)?git@([\w.-]+)[:/](.+)$/;
const HOSTS: Readonly<Record<string, string>> = { github: 'github.com', gitlab: 'gitlab.com', bitbucket: 'bitbucket.org' };

/** npm's shorthands (`user/repo` is GitHub), git and ssh addresses become https; anything else stays as it is. */
export function cleanAddress(text: string): string {
  const shorthand = SHORTHAND_PATTERN.exec(text);
  if (shorthand) return `https://${HOSTS[shorthand[1] ?? 'github'] ?? 'github.com'}/${shorthand[2]}`.replace(/\.git$/, '');
  const ssh = SSH_PATTERN.exec(text);
  if (ssh) return `https://${ssh[1]}/${ssh[2]}`.replace(/\.git$/, '');
  return text
    .replace(/^git\+/, '')
    .replace(/^git:\/\//, 'https://')
    .replace(/\.git$/, '');
}
