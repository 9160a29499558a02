// Makes my-tool.wasm of my-tool.js and wit/.
import { componentize } from '@bytecodealliance/componentize-js';
import { writeFile } from 'node:fs/promises';

const { component } = await componentize({
  sourcePath: 'my-tool.js',
  witPath: 'wit',
  worldName: 'my-tool',
  // Without these the component imports nothing of WASI, only what its world names. A tool has no network, so
  // `http` and `fetch-event` can never stay; for `console.log`, take `stdio` out of the list.
  disableFeatures: ['stdio', 'random', 'clocks', 'http', 'fetch-event'],
});
await writeFile('my-tool.wasm', component);
