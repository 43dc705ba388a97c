import { describe, expect, it } from 'vitest';
import { retentionPage } from './html.js';

describe('retentionPage', () => {
  const page = retentionPage({ tokens: ['</p><script>', ' a&b'], kept: [[Int32Array.of(0)]] }, '<b>snapkv</b>');

  it('fits a narrow screen', () => {
    expect(page).toContain('<meta name="viewport" content="width=device-width, initial-scale=1">');
  });

  it('is made of text alone where the text comes from elsewhere', () => {
    expect(page).toContain('<title>&lt;b&gt;snapkv&lt;/b&gt;</title>');
    expect(page).toContain('<span>&lt;/p&gt;&lt;script&gt;</span><span> a&amp;b</span>');
    expect(page.match(/<script>/g)).toHaveLength(1);
  });
});
