'use strict';
// The service as it was.
const cluster = require('cluster');
const http = require('http');

const [host, port] = (process.argv[2] || '127.0.0.1:8000').split(':');
http.createServer((request, response) => {
  response.end(`Node, worker ${cluster.isWorker ? cluster.worker.id : 0}\n`);
}).listen(Number(port), host);
