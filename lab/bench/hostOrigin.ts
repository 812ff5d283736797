import { createServer } from 'node:http';

/** The web server of a host of `bench:health`; says so when it listens. */

const server = createServer({ keepAliveTimeout: 60_000 }, (_request, response) => response.end('ok'));
server.listen(Number(process.argv[2]), '0.0.0.0', 1_024, () => process.stdout.write('listening\n'));
