import { describe, expect, it } from '@jest/globals';
import { createRouteTable } from './route-table.ts';
import type { Route } from './route.ts';

const table = (...paths: string[]) =>
  createRouteTable(
    paths.map((path) => ({ path }) as Route),
    (routes) => routes.map((route) => route.path),
  );

describe('a route table', () => {
  const flows = table(
    '/',
    '/v1/flows',
    '/v1/flows',
    '/v1/flows/{id}',
    '/v1/flows/batch',
    '/v1/flows/{id}/phases/{phase}/run',
    '/v1/flows/{id}/cancel',
  );

  it.each([
    ['/', ['/'], {}],
    ['/v1/flows', ['/v1/flows', '/v1/flows'], {}],
    ['/v1/flows/7', ['/v1/flows/{id}'], { id: '7' }],
    ['/v1/flows/batch', ['/v1/flows/batch'], {}],
    ['/v1/flows/batch/cancel', ['/v1/flows/{id}/cancel'], { id: 'batch' }],
    ['/v1/flows/7/phases/a%2Fb/run', ['/v1/flows/{id}/phases/{phase}/run'], { id: '7', phase: 'a/b' }],
    ['/v1/flows/cancel/cancel', ['/v1/flows/{id}/cancel'], { id: 'cancel' }],
  ])('finds %s', (path, value, params) => {
    expect(flows.find(path)).toEqual({ value, params });
  });

  it.each([
    '',
    '/v1',
    '/v1/flows/',
    '/V1/flows',
    '/v1//flows',
    '//v1/flows',
    '/v1/flows//cancel',
    '/v1/flows/7/',
    '/v1/fl%6Fws',
    '/v1/flows/7/phases/run',
  ])('finds nothing at %j', (path) => {
    expect(flows.find(path)).toBeUndefined();
  });

  it('turns to parameters where a fixed part leads nowhere', () => {
    const both = table('/a/b/c', '/a/b/{x}/d', '/a/{y}/e');
    expect(both.find('/a/b/e')).toEqual({ value: ['/a/{y}/e'], params: { y: 'b' } });
    expect(both.find('/a/b/c/d')).toEqual({ value: ['/a/b/{x}/d'], params: { x: 'c' } });
  });

  it('refuses parameters that are no UTF-8, but only where there is a route', () => {
    expect(() => flows.find('/v1/flows/%zz')).toThrow(expect.objectContaining({ code: 'invalid-encoding' }));
    expect(() => flows.find('/v1/flows/%ff')).toThrow(expect.objectContaining({ code: 'invalid-encoding' }));
    expect(flows.find('/v1/nothing/%zz')).toBeUndefined();
  });

  it('keeps a parameter whatever its name would be to an object', () => {
    expect(flows.find('/v1/flows/__proto__')?.params).toEqual({ id: '__proto__' });
  });

  it('is not made of two paths that nobody could tell apart', () => {
    expect(() => table('/a/{x}', '/a/{y}')).toThrow('declared twice');
  });
});
