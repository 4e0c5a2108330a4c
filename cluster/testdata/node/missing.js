'use strict';
// Sends a handle's envelope without the handle, and tells how that is answered.
const handle = process[Object.getOwnPropertySymbols(process).find((s) => s.description === 'kChannelHandle')];
const { onread } = handle;
handle.onread = function (buffer) {
  const text = Buffer.from(buffer || '').toString();
  if (!text.includes('NODE_HANDLE_NACK')) return onread.apply(this, arguments);
  process.send('NODE_HANDLE_NACK');
};
require('fs').writeSync(handle.fd, '{"cmd":"NODE_HANDLE","type":"net.Socket","msg":"nothing came"}\n');
