'use strict';
// cluster.fork() for a program that is no script, as one that calls cluster.Listen
// of onconn: fork('/path/to/program', ['its', 'arguments'], { ITS: 'environment' })
// gives a cluster.Worker like any other.
//
// cluster runs process.execPath, which it reads at each fork. There is no setting
// for that, so it is another one for this moment.
const cluster = require('cluster');

exports.fork = (program, args = [], env = {}) => {
  const { execPath } = process;
  const before = {
    exec: process.argv[1], args: process.argv.slice(2), execArgv: process.execArgv,
    ...cluster.settings,
  };
  // The script's name is the program's first argument.
  const [exec = '--', ...rest] = args;
  cluster.setupPrimary({ exec, args: rest, execArgv: [] });
  process.execPath = program;
  try {
    return cluster.fork(env);
  } finally {
    process.execPath = execPath;
    cluster.setupPrimary(before);
  }
};
