import { language } from './words.js';

/** Numbers and times as the language writes them. Pure but for the chosen language. */

const formats = new Map();

function numberFormat(digits) {
  const key = `${language()} ${digits}`;
  let format = formats.get(key);
  if (!format) {
    format = new Intl.NumberFormat(language(), {
      minimumFractionDigits: digits,
      maximumFractionDigits: digits,
      // No −0.
      signDisplay: 'negative',
    });
    formats.set(key, format);
  }
  return format;
}

/** `–` where nothing is known. */
export function number(value, digits = 0) {
  return value === undefined || value === null || !Number.isFinite(value)
    ? '–'
    : numberFormat(digits).format(value);
}

/** `42 s`, `5 min`, `3 h`, `9 d`; what lies behind now counts as 0 s. */
export function span(ms) {
  const seconds = Math.max(0, ms / 1_000);
  if (seconds < 9.95) return `${number(seconds, 1)} s`;
  if (seconds < 120) return `${number(Math.floor(seconds))} s`;
  if (seconds < 7_200) return `${number(Math.floor(seconds / 60))} min`;
  if (seconds < 172_800) return `${number(Math.floor(seconds / 3_600))} h`;
  return `${number(Math.floor(seconds / 86_400))} d`;
}

/** Like `span`, in whole seconds: for what is redrawn twice a second. */
export function wholeSpan(ms) {
  return ms < 120_000 ? `${number(Math.max(0, Math.floor(ms / 1_000)))} s` : span(ms);
}

const two = (value) => String(value).padStart(2, '0');

/** `14:03:27`, local time. */
export function clock(timeMs) {
  const date = new Date(timeMs);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** `11-25`, local time. */
export function day(timeMs) {
  const date = new Date(timeMs);
  return `${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** The clock, with the date before it when it is not today's. */
export function moment(timeMs, nowMs) {
  const date = new Date(timeMs);
  if (new Date(nowMs).toDateString() === date.toDateString()) return clock(timeMs);
  return `${date.getFullYear()}-${day(timeMs)} ${clock(timeMs)}`;
}

/** An energy in kWh, in the unit that keeps three digits. */
export function energy(kwh) {
  if (kwh === undefined || kwh === null) return '–';
  const size = Math.abs(kwh);
  if (size < 1) return `${number(kwh * 1_000, size < 0.1 ? 1 : 0)} Wh`;
  return `${number(kwh, size < 100 ? 2 : 0)} kWh`;
}

export function mass(kg) {
  if (kg === undefined || kg === null) return '–';
  const size = Math.abs(kg);
  if (size < 1) return `${number(kg * 1_000, size < 0.1 ? 1 : 0)} g`;
  return `${number(kg, size < 100 ? 2 : 0)} kg`;
}

export function money(value, currency) {
  if (value === undefined || value === null) return '–';
  const digits = Math.abs(value) < 1 ? 4 : 2;
  return new Intl.NumberFormat(language(), {
    style: 'currency',
    currency,
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(value);
}
