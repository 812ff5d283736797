/** A copy without some of its optional fields. Not by `delete`: that leaves slow objects, and there may be thousands. */
export function without<T extends object, K extends keyof T>(whole: T, ...keys: K[]): Omit<T, K> {
  const copy: Partial<T> = {};
  for (const key of Object.keys(whole) as (keyof T)[]) {
    if (!keys.includes(key as K)) copy[key] = whole[key];
  }
  return copy as Omit<T, K>;
}
