// isomorphic-git: Git in JavaScript. NODE_PATH says where it is installed.
const fs = require('fs');
const git = require('isomorphic-git');
const http = require('isomorphic-git/http/node');

const onAuth = () => ({ username: 'x', password: process.env.COLOPHON_TOKEN });
// What was wrong once is wrong again.
const onAuthFailure = () => ({ cancel: true });
const base = { fs, http, onAuth, onAuthFailure };

const commands = {
  clone: (url, dir) => git.clone({ ...base, url, dir }),
  fetch: (dir) => git.fetch({ ...base, dir, remote: 'origin', tags: true }),
  shallow: (url, dir, depth) =>
    git.clone({ ...base, url, dir, depth: Number(depth), singleBranch: true, noTags: true }),
  deepen: (dir, depth) =>
    git.fetch({ ...base, dir, remote: 'origin', depth: Number(depth), singleBranch: true }),
  tag: async (url, dir, name) => {
    await git.clone({ ...base, url, dir });
    await git.checkout({ fs, dir, ref: name });
  },
  ls: async (url) => {
    const refs = await git.listServerRefs({ http, onAuth, onAuthFailure, url, prefix: 'refs/heads/' });
    for (const { oid, ref } of refs) console.log(oid, ref);
  },
};

const [command, ...rest] = process.argv.slice(2);
commands[command](...rest).catch((error) => {
  console.error(error);
  process.exit(1);
});
