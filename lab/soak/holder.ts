import { WebSocket } from 'ws';

/**
 * Holds idle WebSockets, for a parent process: `<url> <count>`. Says `open` when all are; at `echo` sends a word on
 * each, and says `echoed` with how many came back.
 */
const [url = '', count = '0'] = process.argv.slice(2);
/** Handshakes at once. */
const window = 100;
const sockets: WebSocket[] = [];
let lost = 0;

function open(): void {
  if (sockets.length >= Number(count)) return;
  const socket = new WebSocket(url, { perMessageDeflate: false });
  sockets.push(socket);
  socket.on('error', () => undefined);
  socket.once('close', () => {
    lost += 1;
  });
  socket.once('open', () => {
    opened += 1;
    if (opened === Number(count)) process.send?.({ kind: 'open', lost });
    open();
  });
}

let opened = 0;
for (let index = 0; index < window; index += 1) open();

process.on('message', () => {
  let echoed = 0;
  sockets.forEach((socket, index) => {
    socket.once('message', (message) => {
      if (String(message) === `word ${index}`) echoed += 1;
      if (echoed === sockets.length) process.send?.({ kind: 'echoed', echoed, lost });
    });
    socket.send(`word ${index}`);
  });
});
process.on('disconnect', () => process.exit(0));
