// Asks a Redis on loopback whether it answers. Speaks the few bytes of the protocol itself, so that starting the stack needs no client library.
import { connect } from 'node:net';

export type RedisAddress = { port: number; password: string };

const answerWithinMs = 1_000;

/** True when the server took the password and answered PONG; false while it is away, loading its data or refusing us. */
export function pingRedis({ port, password }: RedisAddress): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    let answer = '';
    const end = (isUp: boolean): void => {
      socket.destroy();
      resolve(isUp);
    };
    socket.setTimeout(answerWithinMs, () => end(false));
    socket.once('error', () => end(false));
    socket.once('close', () => end(false));
    socket.once('connect', () => socket.write(`${command('AUTH', password)}${command('PING')}`));
    socket.setEncoding('utf8').on('data', (chunk) => {
      answer += chunk;
      if (answer.includes('+PONG')) end(true);
      else if (answer.startsWith('-') || answer.includes('\n-')) end(false);
    });
  });
}

const command = (...words: string[]): string =>
  `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`;
