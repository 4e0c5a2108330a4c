// A Node cluster of two workers: cluster.js PORT rr|none
const cluster = require('node:cluster');
const http = require('node:http');

const [port, policy] = [Number(process.argv[2]), process.argv[3]];
cluster.schedulingPolicy = policy === 'none' ? cluster.SCHED_NONE : cluster.SCHED_RR;

if (cluster.isPrimary) {
  // Both begin to listen together, however long they take to start.
  const workers = [cluster.fork(), cluster.fork()];
  let online = 0;
  cluster.on('online', () => ++online === 2 && workers.forEach((worker) => worker.send('listen')));
} else {
  process.once('message', () =>
    http.createServer((request, response) => response.end(`from ${process.pid}\n`)).listen(port, '127.0.0.1'));
}
