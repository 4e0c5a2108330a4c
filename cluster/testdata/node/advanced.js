'use strict';
// Sends what JSON can't say, and tells whether messages come as the serializer of V8
// writes them.
process.on('message', (m) => process.send({ got: m, map: new Map([['a', 1n > 0n]]), bytes: Buffer.from('ж'), not: undefined }));
process.send(process.channel ? 'here' : 'no channel');
