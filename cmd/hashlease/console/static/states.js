// A worker's state in one letter, as the server sends it: the word for it, and its tone.
export const words = {
  m: ['full power', 'mining'], c: ['reduced', 'capped'], p: ['asleep', 'good'], t: ['changing', 'warn'],
  s: ['stuck', 'bad'], n: ['takes no orders', 'unsteered'], o: ['away', 'away'],
};
