// A reporter for `node --test`: one JSON line per result, with file and the names around it.
export default async function* reporter(source) {
  const names = [];
  let count = 0;
  for await (const { type, data } of source) {
    if (type === 'test:start') {
      names.length = data.nesting;
      names[data.nesting] = data.name;
    } else if (type === 'test:pass' || type === 'test:fail') {
      names.length = data.nesting;
      names[data.nesting] = data.name;
      count += 1;
      yield JSON.stringify({
        file: data.file ?? '',
        names,
        ok: type === 'test:pass',
        skip: data.skip !== undefined && data.skip !== false,
        todo: data.todo !== undefined && data.todo !== false,
        suite: data.details?.type === 'suite',
        error: type === 'test:fail' ? String(data.details?.error?.message ?? '').slice(0, 4000) : '',
      }) + '\n';
    }
  }
  yield JSON.stringify({ end: count }) + '\n';
}
