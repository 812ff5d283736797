import type { RequestHeaders } from './headers.ts';

/** Origin-form (RFC 9112 3.2.1), without anything that ends a request line early. */
const originForm = /^\/[\x21-\x7e\x80-\xff]*$/;
/** What may hide a `.` or `..` segment, plain or percent-encoded; most paths have none. */
const suspicious = /\/(?:\.|%2e)/i;
const dotSegment = /^(?:\.|%2e){1,2}$/i;

/**
 * Why a request is not carried to any server, in words for the client; undefined: it may be. An absolute target
 * would make an open proxy of this one; a `..` segment could leave the path prefix by which its pool was chosen.
 */
export function refusalOf(target: string, headers: RequestHeaders): string | undefined {
  if (headers.ambiguous) return 'More than one Host.';
  if (!originForm.test(target)) return target === '*' ? undefined : 'The target must be a path.';
  if (suspicious.test(target) && hasDotSegment(target)) return 'The path must not have "." or ".." segments.';
  return undefined;
}

function hasDotSegment(target: string): boolean {
  const path = target.split('?', 1)[0] ?? '';
  return path.split(/[/\\]|%2f|%5c/i).some((segment) => dotSegment.test(segment));
}
