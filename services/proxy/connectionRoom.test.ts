import { openFilesLimit } from '../../libs/runtime/openFiles.ts';
import { connectionRoom } from './connectionRoom.ts';

test('as many clients as there are files for, with a connection to a server for each', () => {
  expect(connectionRoom(100_000, 1_048_576, 1)).toBe(100_000);
  expect(connectionRoom(100_000, 20_100, 1)).toBe(10_000);
  expect(connectionRoom(100_000, 20_100, 2)).toBe(5_000);
  expect(connectionRoom(300, 1_024, 1)).toBe(300);
  expect(connectionRoom(100_000, 64, 1)).toBe(1);
  expect(connectionRoom(100_000, undefined, 2)).toBe(100_000);
});

test('reads the limit of open files as Linux tells it', () => {
  const limits =
    'Limit                     Soft Limit           Hard Limit           Units     \nMax processes             95995                95995                processes \nMax open files            20000                524288               files     \n';
  expect(openFilesLimit(limits)).toBe(20_000);
  expect(openFilesLimit(limits.replace('20000 ', 'unlimited '))).toBeUndefined();
  expect(openFilesLimit('')).toBeUndefined();
});
