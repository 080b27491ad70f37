// Builds the pages into dist/: names with a hash of their content, the one style sheet in the page itself (a first paint
// that waits for nothing), and each file beside itself in the forms that browsers take compressed.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig, type Plugin } from 'vite';

const MESSAGES = 'messages';

/** What each language calls itself. */
function languageNames(): Record<string, string> {
  const files = readdirSync(MESSAGES).filter((file) => file.endsWith('.json'));
  return Object.fromEntries(files.map((file) => [file.slice(0, -5), JSON.parse(readFileSync(join(MESSAGES, file), 'utf8')).language]));
}

/** Puts the entry's style sheet into the page, and writes its hash down for the Content-Security-Policy. */
function styleIntoPage(): Plugin {
  let dist: string;
  return {
    name: 'style-into-page',
    apply: 'build',
    configResolved({ root, build }) {
      dist = resolve(root, build.outDir);
    },
    closeBundle() {
      const page = join(dist, 'index.html');
      let html = readFileSync(page, 'utf8');
      const link = html.match(/<link rel="stylesheet"[^>]*href="\/(assets\/[^"]+\.css)"[^>]*>/);
      if (!link) throw new Error('the page has no style sheet');
      const css = readFileSync(join(dist, link[1]), 'utf8').trim();
      html = html.replace(link[0], () => `<style>${css}</style>`);
      rmSync(join(dist, link[1]));
      const hash = createHash('sha256').update(css).digest('base64');
      writeFileSync(join(dist, 'style-hash'), `sha256-${hash}\n`);
      writeFileSync(page, html);
      compress(dist);
    },
  };
}

/** Writes `.gz` and `.br` beside every text file that gets smaller by it. */
function compress(folder: string): void {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) {
      compress(path);
    } else if (/\.(html|js|css|json|svg|webmanifest)$/.test(name)) {
      const octets = readFileSync(path);
      const gzip = gzipSync(octets, { level: 9 });
      const brotli = brotliCompressSync(octets, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } });
      if (gzip.length < octets.length) writeFileSync(`${path}.gz`, gzip);
      if (brotli.length < octets.length) writeFileSync(`${path}.br`, brotli);
    }
  }
}

export default defineConfig({
  plugins: [svelte(), styleIntoPage()],
  define: { LANGUAGE_NAMES: JSON.stringify(languageNames()) },
  build: {
    emptyOutDir: true,
    target: 'es2022',
    cssCodeSplit: false,
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 200,
  },
  // While developing: `npx vite`, with a gateway running on its usual address.
  server: { proxy: { '/api': 'http://127.0.0.1:8080' } },
});
