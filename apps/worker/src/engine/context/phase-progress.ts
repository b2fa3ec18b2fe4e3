// ctx.progress: throttled at the source. The first report goes at once, later ones at most every 250 ms, the last one always.
import type { Logger } from '@millrace/process';
import type { UpdatePublisher } from '@millrace/redis';
import { LIMITS, storableJson, type Progress } from '@millrace/shared';
import type { ClaimedPhase } from '@millrace/store';

export type PhaseProgress = {
  report(fraction: number, message?: string, detail?: unknown): void;
  /** Sends what the throttle still holds back and stops its timer. */
  finish(): Promise<void>;
  /** Stops without sending: someone else reports on this phase now. */
  abandon(): void;
};

const EVERY_MS = 250;
const DETAIL_BYTES_MAX = 8_192;

export function createPhaseProgress({
  updates,
  phase,
  log,
}: {
  updates: UpdatePublisher;
  phase: ClaimedPhase;
  log: Logger;
}): PhaseProgress {
  let latest: Progress | undefined;
  let timer: NodeJS.Timeout | undefined;
  let finished = false;
  const send = async () => {
    const report = latest;
    latest = undefined;
    if (report === undefined) return;
    await updates
      .publishProgress([{ workspace: phase.workspace, subjectId: phase.flowId, phase: phase.name, json: JSON.stringify(report) }])
      .catch((error: unknown) => {
        log.debug({ err: error }, 'progress was not published');
      });
  };
  const tick = () => {
    timer = undefined;
    if (latest === undefined) return;
    timer = setTimeout(tick, EVERY_MS);
    void send();
  };
  return {
    report: (fraction, message, detail) => {
      if (finished) return;
      latest = toProgress(phase, { fraction, message, detail });
      if (timer === undefined) tick();
    },
    abandon: () => {
      finished = true;
      latest = undefined;
      clearTimeout(timer);
    },
    finish: async () => {
      finished = true;
      clearTimeout(timer);
      await send();
    },
  };
}

function toProgress(phase: ClaimedPhase, report: { fraction: number; message: string | undefined; detail: unknown }): Progress {
  const detail = report.detail === undefined ? undefined : storableJson(report.detail, DETAIL_BYTES_MAX);
  return {
    flowId: phase.flowId,
    phase: phase.name,
    fraction: Number.isFinite(report.fraction) ? Math.min(1, Math.max(0, report.fraction)) : 0,
    ...(report.message === undefined ? {} : { message: report.message.slice(0, LIMITS.progressMessageCharsMax).toWellFormed() }),
    ...(detail?.ok === true ? { detail: JSON.parse(detail.text) as unknown } : {}),
    at: new Date().toISOString(),
  };
}
