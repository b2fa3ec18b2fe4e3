// A file of people whose rows are known beforehand, bad ones included.

export const PEOPLE_DATASET = {
  columns: [
    { name: 'id', type: 'integer', required: true },
    { name: 'name', type: 'text', maxLength: 60 },
    { name: 'born', type: 'date' },
    { name: 'score', type: 'numeric' },
  ],
  key: ['id'],
};

/** Every so many rows have an impossible date of birth. */
const BAD_EVERY = 1_000;

export type PeopleFile = { csv: string; goodCount: number; badLines: number[]; idSum: number };

/** Rows 1..count. Names have commas, quotes and newlines, so that a record is not a line. */
export function peopleFile(count: number): PeopleFile {
  const lines = ['id,name,born,score'];
  const badLines: number[] = [];
  let line = 2;
  let idSum = 0;
  for (let id = 1; id <= count; id += 1) {
    const isBad = id % BAD_EVERY === 0;
    const isSplit = id % 7 === 0;
    if (isBad) badLines.push(line);
    else idSum += id;
    lines.push(`${id},"${isSplit ? 'Two\nlines' : 'One line'}, ""no. ${id}""",${isBad ? '2024-02-30' : '1984-06-01'},${id}.25`);
    line += isSplit ? 2 : 1;
  }
  return { csv: `${lines.join('\n')}\n`, goodCount: count - badLines.length, badLines, idSum };
}
