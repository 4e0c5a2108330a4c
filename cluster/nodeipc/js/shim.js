'use strict';
// A script that stands in for a program, where only scripts can be workers of
// cluster, as under PM2:
//
//   cluster.setupPrimary({ exec: 'shim.js', args: ['/path/to/program', 'its', 'arguments'] })
//   pm2 start shim.js -i 4 --name app -- /path/to/program its arguments
//
// The program has this process's channel, and this process only waits for its end.
// It costs an idle Node for each worker (some 45 MB); fork.js does without.
const cluster = require('cluster');
const { spawn } = require('child_process');

const [program, ...args] = process.argv.slice(2);
const symbol = Object.getOwnPropertySymbols(process).find((s) => s.description === 'kChannelHandle');
if (!program || !cluster.isWorker || !symbol) {
  console.error('usage: cluster.setupPrimary({ exec: "shim.js", args: ["/path/to/program", ...] })');
  process.exit(2);
}
const channel = process[symbol];
channel.readStop(); // before the first message is read: they are the program's

// PM2 has the output of its workers from process.stdout, not from descriptor 1.
const output = process.env.pm_id === undefined ? 'inherit' : 'pipe';
const child = spawn(program, args, {
  stdio: ['inherit', output, output, channel.fd],
  env: { ...process.env, NODE_CHANNEL_FD: 3, NODE_UNIQUE_ID: cluster.worker.id },
});
if (output === 'pipe') {
  child.stdout.on('data', (data) => process.stdout.write(data));
  child.stderr.on('data', (data) => process.stderr.write(data));
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2']) {
  process.on(signal, () => child.kill(signal));
}
child.on('error', (error) => {
  console.error(`${program}: ${error.message}`);
  process.exit(127);
});
child.on('exit', (code, signal) => {
  if (signal === null) process.exit(code);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
});
