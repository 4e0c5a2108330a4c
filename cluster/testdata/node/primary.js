'use strict';
// A primary of Node's cluster that runs what it reads, a line of JavaScript at a
// time, and answers each with a line of JSON.
const cluster = require('cluster');
const readline = require('readline');
const path = require('path');
const { fork } = require(path.join(__dirname, '../../nodeipc/js/fork.js'));
const shim = path.join(__dirname, '../../nodeipc/js/shim.js');

const program = process.env.PROGRAM; // the Go worker
const events = []; // of all workers, as [name, id, ...]
const handles = []; // that came with messages
for (const name of ['fork', 'online', 'listening', 'disconnect', 'exit', 'message']) {
  cluster.on(name, (worker, a, b) => {
    if (name === 'message' && b) {
      handles.push(b);
      b = b.constructor.name;
    }
    events.push([name, worker.id, a, b, worker.exitedAfterDisconnect]);
  });
}
const count = (name, id) => events.filter((e) => e[0] === name && (id === undefined || e[1] === id)).length;
const until = async (ok, ms = 20000) => {
  for (const end = Date.now() + ms; !ok();) {
    if (Date.now() > end) throw new Error(`not so after ${ms} ms: ${ok}; events: ${JSON.stringify(events)}`);
    await new Promise((done) => setTimeout(done, 5));
  }
};
// go starts a Go worker that has n listeners, and js a script.
const go = async (env = {}, n = 1) => {
  const worker = fork(program, [], env);
  await until(() => count('listening', worker.id) >= n);
  return worker;
};
const js = async (script, env = {}, n = 1) => {
  cluster.setupPrimary({ exec: path.join(__dirname, script), args: [], execArgv: [] });
  const worker = cluster.fork(env);
  await until(() => count('listening', worker.id) >= n);
  return worker;
};
const shimmed = async (env = {}, n = 1) => {
  cluster.setupPrimary({ exec: shim, args: [program], execArgv: [] });
  const worker = cluster.fork(env);
  await until(() => count('listening', worker.id) >= n);
  return worker;
};
const fds = () => require('fs').readdirSync('/proc/self/fd').length;
const workers = cluster.workers;

if (process.env.SERIALIZATION) cluster.setupPrimary({ serialization: process.env.SERIALIZATION });
const AsyncFunction = (async () => {}).constructor;
const names = { cluster, events, handles, count, until, go, js, shimmed, fds, workers, fork, program, path, process, require };
readline.createInterface({ input: process.stdin }).on('line', async (line) => {
  let answer;
  try {
    answer = { value: await new AsyncFunction(...Object.keys(names), line)(...Object.values(names)) };
  } catch (error) {
    answer = { error: error.stack };
  }
  console.log(JSON.stringify(answer));
}).on('close', () => process.exit(0));
