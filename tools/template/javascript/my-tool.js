// A tool for Gloaming: one function, called in a fresh instance each time. It can do what its world
// (wit/world.wit) imports and nothing else: no network, no environment, no processes. Every path it names is
// decided by the policy of whoever runs it.
import { read } from 'gloaming:tool/workspace@0.1.0';

/** Returns the value at a JSON pointer; what is thrown is the tool's error. */
export function myTool(path, pointer) {
  let value = JSON.parse(new TextDecoder().decode(content(path)));
  for (const part of pointer.split('/').slice(1)) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
    if (value === null || typeof value !== 'object' || !Object.hasOwn(value, key)) {
      throw `${path} has nothing at ${pointer}`;
    }
    value = value[key];
  }
  return JSON.stringify(value, null, 2);
}

function content(path) {
  try {
    return read(path, undefined).data;
  } catch (error) {
    // The host's failure: handed on in its words, it keeps the policy's rule.
    throw error.payload?.message ?? String(error);
  }
}
