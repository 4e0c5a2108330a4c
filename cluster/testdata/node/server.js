'use strict';
// Says which worker it is to everybody who connects.
const cluster = require('cluster');
const net = require('net');
const options = JSON.parse(process.env.LISTEN);
net.createServer((c) => c.on('error', () => {}).end(`js ${cluster.worker.id}\n`)).listen(options);
process.on('message', (m) => {
  if (m === 'block') for (const end = Date.now() + 2000; Date.now() < end;);
  process.send({ got: m });
});
