// How many phases of each workspace the queue takes in now. Pure.
import type { BacklogLane } from '@millrace/store';

/** A workspace that has fewer jobs than this in the queue, by unit of weight, is let in even when others have filled it; in a small window fewer. */
const LANE_MIN = 20;
const LANE_SHARE = 0.1;

/**
 * Divides the room by weight. `depths`: about how many jobs of each lane are in the queue already, in units of its weight. `isOverfull`: too
 * many lanes were let in beyond the window.
 */
export function backlogShares(
  lanes: readonly BacklogLane[],
  { room, windowMax, depths, isOverfull }: { room: number; windowMax: number; depths: readonly number[]; isOverfull: boolean },
): { workspace: string; count: number }[] {
  const weights = lanes.reduce((sum, lane) => sum + lane.weight, 0);
  const laneMin = Math.min(LANE_MIN, Math.ceil(windowMax * LANE_SHARE));
  return lanes
    .map(({ workspace, weight }, index) => {
      const fair = Math.ceil((Math.max(0, room) * weight) / weights);
      const least = isOverfull ? 0 : (laneMin - (depths[index] ?? 0)) * weight;
      return { workspace, count: Math.max(fair, least, 0) };
    })
    .filter(({ count }) => count > 0);
}
