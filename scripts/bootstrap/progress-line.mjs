// One line for one long step: a spinner with the seconds on a terminal, a plain line at the start and at the end elsewhere.
const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/** Starts the line; returns how to end it. Writes to stderr, so that a command's own output on stdout stays clean. */
export function startProgressLine(text, out = process.stderr) {
  const startedAt = Date.now();
  const seconds = () => ((Date.now() - startedAt) / 1000).toFixed(1);
  if (!out.isTTY) {
    out.write(`millrace: ${text}\n`);
    return { finish: (ending) => void out.write(`millrace: ${ending} in ${seconds()} s\n`), clear: () => undefined };
  }
  let frame = 0;
  const timer = setInterval(() => out.write(`\r\x1b[2K${frames[frame++ % frames.length]} ${text} ${seconds()} s`), 100);
  const clear = () => {
    clearInterval(timer);
    out.write('\r\x1b[2K');
  };
  return {
    finish(ending) {
      clear();
      out.write(`millrace: ${ending} in ${seconds()} s\n`);
    },
    clear,
  };
}
