'use strict';
// Sends back what it gets, with the handle that came with it.
const cluster = require('cluster');
const { LISTEN } = process.env;
if (LISTEN) require('net').createServer((c) => c.on('error', () => {}).end(`js ${cluster.worker.id}\n`)).listen(JSON.parse(LISTEN));
process.on('message', (m, handle) => {
  if (handle) process.send({ back: m, kind: handle.constructor.name }, handle);
  else process.send({ got: m });
});
