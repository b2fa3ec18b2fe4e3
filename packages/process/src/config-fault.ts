// A fault of the configuration that shows only when it is put to use, such as a folder of flows that cannot be read.

/** Thrown while a process starts: it ends with exit 78 and the message, which names the variable and what is wrong with it. */
export class ConfigFault extends Error {
  override readonly name = 'ConfigFault';
}
