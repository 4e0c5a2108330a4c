'use strict';
// Moves a service from app.js to a Go program, worker by worker:
//   node migrate.js program [host:port [workers [seconds between two]]]
const cluster = require('cluster');
const path = require('path');
const { fork } = require('../../cluster/nodeipc/js/fork.js');

const [program, address = '127.0.0.1:8000', workers = '4', seconds = '1'] = process.argv.slice(2);
if (!program) {
  console.error('usage: node migrate.js program [host:port [workers [seconds]]]');
  process.exit(2);
}
cluster.setupPrimary({ exec: path.join(__dirname, 'app.js'), args: [address] });

const once = (worker, event) => new Promise((done, failed) => {
  worker.once(event, done);
  worker.once('exit', (code, signal) => failed(new Error(`worker ${worker.id} ended: ${signal || code}`)));
});
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// replace has the new worker listen first. The old one gets no more connections then,
// finishes what it has, and ends.
async function replace(old) {
  const worker = fork(program, ['-listen', address]);
  await once(worker, 'listening');
  old.disconnect();
  console.log(`worker ${old.id}, Node, is replaced by worker ${worker.id}, Go`);
}

async function main() {
  const old = Array.from({ length: Number(workers) }, () => cluster.fork());
  const [{ address: host, port }] = await Promise.all(old.map((worker) => once(worker, 'listening')));
  console.log(`${old.length} workers serve at http://${host}:${port}/`);
  for (const worker of old) {
    await sleep(Number(seconds) * 1000);
    await replace(worker);
  }
  console.log('moved');
}

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => cluster.disconnect(() => process.exit(0)));
}
main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
