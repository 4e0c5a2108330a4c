// A worker for cluster.js and for PM2: it says "ok". PM2 wants it to end by
// itself at SIGINT (HANDLER=1), or ends it.
const http = require('http');
const server = http.createServer((req, res) => {
  res.setHeader('Content-Type', 'text/plain');
  res.end('ok\n');
});
server.listen(Number(process.env.PORT), '127.0.0.1');
if (process.env.HANDLER) {
  process.on('SIGINT', () => server.close(() => process.exit(0)));
}
