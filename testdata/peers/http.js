// HTTP in Node: one process, or a cluster with either of its ways to schedule.
//
//	node http.js ADDRESS WORKERS alone|rr|none
//	node http.js ADDRESS WORKERS rr PROGRAM ARGUMENT...    the workers are that program
//
// Node has one header more than the others where a connection stays, Connection:
// keep-alive, which can't be left out.
const cluster = require('cluster');
const http = require('http');
const { fork } = require('../../cluster/nodeipc/js/fork.js');
const [address, workers, how, program, ...args] = process.argv.slice(2);
const [host, port] = address.split(':');

if (cluster.isPrimary && how !== 'alone') {
  cluster.schedulingPolicy = how === 'rr' ? cluster.SCHED_RR : cluster.SCHED_NONE;
  for (let i = 0; i < workers; i++) program ? fork(program, args) : cluster.fork();
  process.on('SIGTERM', () => { // ends when they have
    for (const worker of Object.values(cluster.workers)) worker.process.kill();
  });
} else {
  const body = Buffer.from('onconnecti'.repeat(10));
  const head = { 'Content-Type': 'text/plain', 'Content-Length': body.length };
  const server = http.createServer((req, res) => {
    res.sendDate = false;
    res.writeHead(200, head);
    res.end(body);
  });
  server.keepAliveTimeout = 0; // never, and says nothing of it
  server.listen({ host, port, backlog: 511 });
}
