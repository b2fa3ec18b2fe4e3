// Says what is installed, started, reused and stopped: one line per step. On a terminal the steps under way share one live line with a spinner;
// elsewhere plain lines. Colours only on a terminal and without NO_COLOR.

export type Step = {
  /** Replaces what the live line says about the step; elsewhere printed as a line of its own. */
  update(text: string): void;
  /** Ends the step with its line; the time it took is added. */
  done(text: string): void;
  /** Ends the step without a line; the fault says what happened. */
  fail(): void;
};

export type StepReporter = {
  /** Begins a step. `announce` prints a line at the start where there is no spinner: for steps that take long. */
  step(name: string, options?: { text?: string; announce?: boolean }): Step;
  /** One line by itself. */
  line(name: string, text: string): void;
  /** A line as it is. */
  plain(text: string): void;
  warn(name: string, text: string): void;
  /** Removes the live line, so that others can write. */
  pause(): void;
};

type Output = { write(text: string): unknown; isTTY?: boolean | undefined };

const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const frameMs = 80;
const nameWidth = 10;

/** Whether to colour what goes to `out`. `NO_COLOR` with any value but the empty one forbids it (no-color.org). */
export function useColours(out: Output, env: NodeJS.ProcessEnv): boolean {
  return out.isTTY === true && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';
}

export function createStepReporter({ out, env }: { out: Output; env: NodeJS.ProcessEnv }): StepReporter {
  const colour = useColours(out, env)
    ? (code: number, text: string): string => `\x1b[${code}m${text}\x1b[0m`
    : (_: number, text: string): string => text;
  const live = createLiveLine(out);
  const print = (name: string, text: string, code = 36): void => live.above(`${colour(code, name.padEnd(nameWidth))} ${text}`);

  return {
    step(name, { text = 'starting', announce = false } = {}) {
      const startedAt = performance.now();
      const took = (): string => colour(2, `(${((performance.now() - startedAt) / 1000).toFixed(2)} s)`);
      if (announce && !live.isLive) print(name, text);
      const entry = live.add(`${name}: ${text}`);
      return {
        update(next) {
          if (live.isLive) entry.set(`${name}: ${next}`);
          else print(name, next);
        },
        done(ending) {
          entry.remove();
          print(name, `${ending} ${took()}`);
        },
        fail: () => entry.remove(),
      };
    },
    line: (name, text) => print(name, text),
    plain: (text) => live.above(text),
    warn: (name, text) => print(name, text, 33),
    pause: () => live.pause(),
  };
}

type LiveLine = {
  isLive: boolean;
  add(text: string): { set(text: string): void; remove(): void };
  above(text: string): void;
  pause(): void;
};

// The steps under way, redrawn in place. Nothing is drawn (and no timer runs) when there are none, or when `out` is no terminal.
function createLiveLine(out: Output): LiveLine {
  const entries = new Map<symbol, string>();
  const isLive = out.isTTY === true;
  let frame = 0;
  let timer: NodeJS.Timeout | undefined;
  const clear = (): void => void (isLive && out.write('\r\x1b[2K'));
  const draw = (): void => {
    if (entries.size > 0 && isLive) out.write(`\r\x1b[2K${frames[frame++ % frames.length]} ${[...entries.values()].join(' · ')}`);
  };
  const settle = (): void => {
    if (entries.size === 0) {
      clearInterval(timer);
      timer = undefined;
      clear();
    } else if (isLive) timer ??= setInterval(draw, frameMs).unref();
  };
  return {
    isLive,
    add(text) {
      const key = Symbol(text);
      entries.set(key, text);
      settle();
      return {
        set: (next) => void entries.set(key, next),
        remove() {
          if (entries.delete(key)) settle();
        },
      };
    },
    above(text) {
      clear();
      out.write(`${text}\n`);
      draw();
    },
    pause() {
      entries.clear();
      settle();
    },
  };
}
