'use strict';
// Tells the ticket keys of its TLS server, which it has from the primary.
const server = require('tls').createServer({});
server.listen(JSON.parse(process.env.LISTEN), () => process.send({ keys: server.getTicketKeys().toString('hex') }));
