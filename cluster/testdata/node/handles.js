'use strict';
// Sends back what it gets, with the handle that came with it.
const cluster = require('cluster');
const { LISTEN } = process.env;
if (LISTEN) require('net').createServer((c) => c.on('error', () => {}).end(`js ${cluster.worker.id}\n`)).listen(JSON.parse(LISTEN));
process.on('message', (m, handle) => {
  const kind = handle?.constructor.name;
  // A socket closes when it has been sent, and what else there is would keep this process.
  if (handle) process.send({ back: m, kind }, handle, () => handle.destroy || handle.close());
  else process.send({ got: m });
});
