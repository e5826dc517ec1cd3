import { execFileSync } from 'node:child_process';
import { startStack } from './tools/local-stack.ts';
const stack = await startStack({ vars: { JOBS_QUEUE_URL: 'http://127.0.0.1:9/queue', JOBS_SECRET: 'x'.repeat(40), AWS_ACCESS_KEY_ID: 'aaaa', AWS_SECRET_ACCESS_KEY: 'bbbb', CACHE_REPLIES_IN_KV: 'true' } });
const sh = (text: string) => { try { console.log('$', text.slice(0, 150)); console.log(execFileSync('bash', ['-c', text.replaceAll('URL', stack.url)], {timeout: 20000}).toString().slice(0, 1500)); } catch (e) { console.log('ERR', String(e).slice(0, 500)); } };
try {
sh(`curl -s URL/v1/captions -H 'content-type: image/webp' --data-binary @test/scenes/pair-noto-00.webp | head -c 200`);
sh(`curl -s URL/v1/captions?max_tokens=20 -H 'content-type: image/webp' --data-binary @test/scenes/pair-noto-00.webp | head -c 200`);
sh(`S=$(sha256sum test/scenes/pair-noto-00.webp | cut -d ' ' -f 1); curl -s -D- URL/v1/jobs -H 'content-type: application/json' -d "{\\"task\\":\\"caption\\",\\"items\\":[{\\"id\\":\\"one\\",\\"image\\":\\"$S\\"},{\\"image\\":\\"AAAA\\"}]}" | tee /tmp/api/job; echo`);
sh(`job=$(grep -o 'job_[0-9a-f]*' /tmp/api/job | head -n 1); curl -sN URL/v1/jobs/$job/events | cut -c 1-600; curl -s -D- URL/v1/jobs/$job/results; curl -s 'URL/v1/jobs/'$job'/results?format=csv'; curl -s -H 'range: bytes=0-20' -D- 'URL/v1/jobs/'$job'/results'; curl -s 'URL/v1/jobs/'$job'/results?cursor=0:0'; curl -s URL/v1/jobs/$job/deliveries; curl -s -X POST URL/v1/jobs/$job/retry-failed | tee /tmp/api/job2; echo; curl -s URL/v1/jobs | head -c 300`);
sh(`job=$(grep -o 'job_[0-9a-f]*' /tmp/api/job2 | head -n 1); timeout 8 curl -sN URL/v1/jobs/$job/events | cut -c 1-900; curl -s -D- URL/v1/jobs/$job/results;`);
} finally { await stack.stop(); }
process.exit(0);
