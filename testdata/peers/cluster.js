// Node's cluster with two workers, told what to do by lines on its standard input.
// It answers each line when it is done.
const cluster = require('cluster');
const path = require('path');
const readline = require('readline');

cluster.setupPrimary({ exec: path.join(__dirname, 'server.js') });

const listening = (worker) => new Promise((done) => worker.once('listening', done));
const fork = async () => {
  const worker = cluster.fork();
  await listening(worker);
  return worker;
};
// Whoever ends without having been asked is replaced.
let replaced = 0;
cluster.on('exit', (worker) => {
  if (!worker.exitedAfterDisconnect) fork().then(() => { replaced++; });
});
const until = async (ok) => {
  while (!ok()) await new Promise((done) => setTimeout(done, 5));
};

const commands = {
  // The recipe for a rolling restart: a new worker, and when it listens the old one
  // is disconnected.
  async roll() {
    for (const old of Object.values(cluster.workers)) {
      await fork();
      old.disconnect();
    }
  },
  // The same with a signal.
  async signal() {
    for (const old of Object.values(cluster.workers)) {
      await fork();
      old.exitedAfterDisconnect = true;
      old.process.kill();
    }
  },
  async kill() {
    const before = replaced;
    Object.values(cluster.workers)[0].process.kill('SIGKILL');
    await until(() => replaced === before + 1);
  },
  async killall() {
    const before = replaced;
    for (const worker of Object.values(cluster.workers)) worker.process.kill('SIGKILL');
    await until(() => replaced === before + 2);
  },
  // How many workers live, and how many descriptors the primary holds.
  async count() {
    const fds = require('fs').readdirSync('/proc/self/fd').length;
    return `${Object.keys(cluster.workers).length} ${fds}`;
  },
};

Promise.all([fork(), fork()]).then(() => {
  console.log('ready');
  const lines = readline.createInterface({ input: process.stdin });
  let turn = Promise.resolve();
  lines.on('line', (line) => {
    turn = turn.then(commands[line]).then((said) => console.log(said || line));
  });
  lines.on('close', () => {
    for (const worker of Object.values(cluster.workers)) worker.process.kill('SIGKILL');
    process.exit(0);
  });
});
