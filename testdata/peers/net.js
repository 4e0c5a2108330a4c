// Connections in Node: closes each, or keeps it until its client closes it.
//
//	node net.js ADDRESS close|hold
const net = require('net');
const [address, what] = process.argv.slice(2);
const [host, port] = address.split(':');
const server = net.createServer(what === 'close'
  ? (conn) => conn.destroy()
  : (conn) => conn.on('error', () => {}).resume());
server.listen({ host, port, backlog: 511 });
