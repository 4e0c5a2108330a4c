'use strict';
// Answers each datagram with which worker it is.
const cluster = require('cluster');
const { type, ...options } = JSON.parse(process.env.LISTEN);
const u = require('dgram').createSocket({ ...options, type });
u.on('error', (e) => process.send({ error: e.code, syscall: e.syscall }));
u.on('message', (m, from) => u.send(`js ${cluster.worker.id}`, from.port, from.address));
u.bind(options, () => process.send(`udp ${u.address().address}:${u.address().port}`));
process.on('message', (m) => m === 'close' && u.close(() => process.send('closed')));
