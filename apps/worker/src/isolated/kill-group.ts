// Ends a process group at once: the process that leads it and all it started.

/** False when there is no such group any more. */
export function killGroup(leaderPid: number): boolean {
  try {
    process.kill(-leaderPid, 'SIGKILL');
    return true;
  } catch {
    // ESRCH: all of it has ended by itself.
    return false;
  }
}
