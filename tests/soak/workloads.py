# SPDX-License-Identifier: MIT
"""The workloads of soak.py. Each has a name, what its result is, and

    missing()        why it cannot be done here, or None
    prepare(place)   copies its files
    run(place)       does the work, and returns what can be compared
"""
import glob
import hashlib
import os
import re
import shutil
import subprocess
import time
import urllib.request


def digest(path):
    if not os.path.exists(path):
        return 'no file'
    with open(path, 'rb') as f:
        return hashlib.sha256(f.read()).hexdigest()


def said(argv, place, stdin='', env=None, cwd=None, merge=False):
    r = subprocess.run(argv, input=stdin, capture_output=True, text=True, errors='replace', env=env or place.env(),
                       cwd=cwd or place.dir)
    text = f'{r.returncode}\n{r.stdout}' + (r.stderr if merge or r.returncode else '')
    return text


class Workload:
    short = False    # part of the short tier
    least = 1000000  # entries that must be seen
    returns = 0.5    # and this share of them at their return, too
    helpers = False  # programs that also go through helpers

    def __init__(self, long):
        self.long = long  # 0: the short form; 1: the long one; else a part of that
        self.first = int(os.environ.get('NT_SOAK_FIRST') or 0)  # which part, where there is a choice

    def size(self, short, long):
        return max(short, round(long * self.long))

    def missing(self):
        found = self.find()
        return None if found and os.path.exists(found) else f'{self.needs} is not installed'


class Sqlite(Workload):
    name, what, needs, short = 'sqlite', 'its answers and its file', 'sqlite3', True

    def find(self):
        return shutil.which('sqlite3')

    def prepare(self, place):
        self.exe = place.program(self.find(), 'sqlite3')

    def run(self, place):
        n = self.size(8000, 200000)
        db = place.path('db')
        if os.path.exists(db):
            os.remove(db)
        sql = f'''create table t(a integer primary key, b text, c real);
            with recursive n(x) as (select 1 union all select x + 1 from n where x < {n})
            insert into t select x, printf('%x-%d', x * 2654435761, x % 97), x / 7.0 from n;
            create index i on t(b); update t set c = c * 2 where a % 3 = 0; delete from t where a % 5 = 1;
            select count(*), sum(a), round(sum(c), 3), min(b), max(b) from t;
            select b, count(*) from t group by substr(b, 1, 2) order by 2 desc, 1 limit 10;
            select count(*) from t x join t y on x.b = y.b where x.a < 2000; vacuum; pragma integrity_check;'''
        return said([self.exe, db], place, sql) + digest(db)


class Python(Workload):
    returns = 0.15  # 64 calls of a thread are reported at their return, and it tries how deep it can go
    name, what, needs = 'python', "what its test suite says", 'libpython3-testsuite'
    SHORT = 'test_grammar test_generators test_struct test_json test_re test_thread'
    # Not those that look at their own timing, memory or descriptors, or need a network.
    LONG_WITHOUT = 'test_faulthandler test_gdb test_socket test_ssl test_asyncio test_multiprocessing_fork ' \
        'test_multiprocessing_spawn test_multiprocessing_forkserver test_concurrent_futures test_urllib2net ' \
        'test_time test_timeout test_signal test_subprocess test_venv test_ensurepip test_idle test_tk test_ttk_guionly'
    helpers = True

    def find(self):
        found = sorted(glob.glob('/usr/lib/python3.*/test/test_grammar.py'))
        return found[-1] if found else None

    def prepare(self, place):
        version = re.search(r'python3\.\d+', self.find()).group()
        self.exe = place.program(f'/usr/bin/{version}', 'python')
        for module in glob.glob(f'/usr/lib/{version}/lib-dynload/*.so'):
            for lib in subprocess.run(['ldd', module], capture_output=True, text=True).stdout.splitlines():
                w = lib.split()
                if len(w) > 3 and w[2].startswith('/'):
                    place.add(w[2], 'lib/' + os.path.basename(w[2]))

    def run(self, place):
        env = place.env(PYTHONHOME='/usr', PYTHONHASHSEED='0', PYTHONDONTWRITEBYTECODE='1')
        names = self.SHORT.split()
        if self.long:
            names = said([self.exe, '-m', 'test', '--list-tests'], place, env=env).split()[1:]
            names = [n for n in names if n not in self.LONG_WITHOUT.split()][self.first::max(1, round(1 / self.long))]
        text = said([self.exe, '-m', 'test', '--timeout', '1200', *names], place, merge=True, env=env)
        # The lines at the end: how many and which were good, failed, skipped.
        text = re.split(r'\n== Tests result', text)[-1]
        return '\n'.join(line for line in text.splitlines() if not re.search(r'duration|took|[Tt]otal', line))


class Redis(Workload):
    name, what, needs = 'redis', 'its data after commands and a benchmark', 'redis-server'
    short = True
    helpers = True

    def find(self):
        return shutil.which('redis-server')

    def prepare(self, place):
        self.exe = place.program(self.find(), 'redis-server')

    def run(self, place):
        sock, n = place.path('redis.sock'), self.size(8000, 1000000)
        cli = [shutil.which('redis-cli'), '-s', sock]
        clean = dict(os.environ)
        server = subprocess.Popen([self.exe, '--port', '0', '--unixsocket', sock, '--save', '', '--appendonly', 'no',
                                   '--enable-debug-command', 'yes', '--hz', '100'], env=place.env(), cwd=place.dir,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(500):
            if os.path.exists(sock) and b'PONG' in subprocess.run([*cli, 'ping'], capture_output=True, env=clean).stdout:
                break
            time.sleep(0.02)
        bench = subprocess.run([shutil.which('redis-benchmark'), '-s', sock, '-n', str(n), '-q', '-c', '20', '-t',
                                'set,get,incr,lpush,rpush,lpop,sadd,hset,spop,zadd,lrange_100,mset'], capture_output=True,
                               text=True, env=clean)
        list_length = subprocess.run([*cli, 'llen', 'mylist'], capture_output=True, text=True, env=clean).stdout
        counter = subprocess.run([*cli, 'get', 'counter:__rand_int__'], capture_output=True, text=True, env=clean).stdout
        subprocess.run([*cli, 'flushall'], capture_output=True, env=clean)
        commands = ''.join(f'set k{i} {i * i}\nhset h{i % 100} f{i} v{i}\nzadd z {i % 777} m{i}\nlpush l{i % 10} x{i}\n'
                           f'sadd s {i % 500}\nincrby c {i}\nappend a x{i}\nsetbit b {i * 7} 1\nexpire k{i // 2 * 4} 10000\n'
                           for i in range(3000))
        commands += 'eval "local s=0 for i=1,20000 do s=s+i*i%7 end return s" 0\nzrange z 5 20\ndbsize\nget c\ndebug digest\n'
        answers = subprocess.run(cli, input=commands, capture_output=True, text=True, env=clean).stdout
        subprocess.run([*cli, 'shutdown', 'nosave'], capture_output=True, env=clean)
        status = server.wait(30)
        os.path.exists(sock) and os.remove(sock)
        return f'{status} {bench.returncode} list {list_length} counter {counter}' + \
            hashlib.sha256(answers.encode()).hexdigest() + ' ' + ' '.join(answers.split()[-3:])


class Nginx(Workload):
    name, what, needs = 'nginx', 'every answer under load', 'nginx and wrk'
    helpers = True

    def find(self):
        return shutil.which('nginx') and shutil.which('wrk')

    def prepare(self, place):
        self.exe = place.program(shutil.which('nginx'), 'nginx')

    def run(self, place):
        root, port = place.path('www'), 18000 + os.getpid() % 2000
        os.makedirs(root, exist_ok=True)
        for i in range(20):
            with open(f'{root}/{i}.txt', 'w') as f:
                f.write(f'{i} line of text\n' * (50 * i + 1))
        with open(place.path('nginx.conf'), 'w') as f:
            f.write(f'''daemon off; worker_processes 2; pid {place.path('nginx.pid')}; user root;
                error_log {place.path('error.log')}; events {{ worker_connections 512; }}
                http {{ access_log {place.path('access.log')}; gzip on; gzip_types text/plain; gzip_min_length 1;
                server {{ listen 127.0.0.1:{port}; root {root}; location = /moved {{ return 302 /1.txt; }}
                location ~ ^/re/(.*)$ {{ rewrite ^/re/(.*)$ /$1 break; }} }} }}''')
        server = subprocess.Popen([self.exe, '-c', place.path('nginx.conf'), '-p', place.dir], env=place.env(),
                                  stderr=subprocess.DEVNULL)
        answers = []
        for _ in range(500):
            try:
                urllib.request.urlopen(f'http://127.0.0.1:{port}/0.txt').read()
                break
            except OSError:
                time.sleep(0.02)
        load = subprocess.run([shutil.which('wrk'), '-t2', '-c32', f'-d{self.size(2, 60)}s',
                               '-H', 'Accept-Encoding: gzip', f'http://127.0.0.1:{port}/7.txt'], capture_output=True, text=True).stdout
        for i in range(200):
            name = f'/{i % 20}.txt' if i % 3 else f'/re/{i % 20}.txt'
            with urllib.request.urlopen(urllib.request.Request(f'http://127.0.0.1:{port}{name}')) as r:
                answers.append(f'{r.status} {hashlib.sha256(r.read()).hexdigest()}')
        server.send_signal(3)
        status = server.wait(30)
        bad = [line for line in load.splitlines() if 'Non-2xx' in line or 'Socket errors' in line]
        with open(place.path('error.log')) as f:
            errors = [line for line in f if '[alert]' in line or '[crit]' in line or 'signal' in line and 'exited on' in line]
        return f'{status} {bad} {errors} {hashlib.sha256(" ".join(answers).encode()).hexdigest()}'


class Postgres(Workload):
    name, what, needs = 'postgres', 'the books after pgbench', 'postgresql'
    BIN = sorted(glob.glob('/usr/lib/postgresql/*/bin'))

    def find(self):
        return self.BIN[-1] + '/pgbench' if self.BIN else None

    def prepare(self, place):
        version = self.BIN[-1].split('/')[-2]
        base = f'usr/lib/postgresql/{version}'
        for name in 'postgres', 'initdb', 'pg_ctl':
            place.program(f'{self.BIN[-1]}/{name}', f'{base}/bin/{name}')
        place.files = [f for f in place.files if not f.endswith(('initdb', 'pg_ctl'))]
        os.symlink(f'/usr/lib/postgresql/{version}/lib', place.path(f'{base}/lib'))
        os.makedirs(place.path('usr/share/postgresql'))
        os.symlink(f'/usr/share/postgresql/{version}', place.path(f'usr/share/postgresql/{version}'))
        self.bin = place.path(f'{base}/bin')

    def run(self, place):
        n, clients, data = self.size(300, 20000), 4, place.path('data')
        shutil.rmtree(data, ignore_errors=True)
        nobody = ['unshare', '--user', '--map-user=1000'] # postgres will not be run by root

        def tool(name, *args):
            return said([*nobody, f'{self.bin}/{name}', *args], place)

        def client(name, *args):
            return subprocess.run([f'{self.BIN[-1]}/{name}', '-h', place.dir, '-U', 'me', *args], capture_output=True, text=True)
        made = tool('initdb', '-D', data, '-U', 'me', '-A', 'trust', '--no-sync')
        if not made.startswith('0'):
            return made
        server = subprocess.Popen([*nobody, f'{self.bin}/postgres', '-D', data, '-k', place.dir, '-c', 'listen_addresses=',
                                   '-c', 'fsync=off'], env=place.env(), stderr=open(place.path('log'), 'w'))
        for _ in range(1000):
            if client('psql', '-c', 'select 1', 'postgres').returncode == 0:
                break
            time.sleep(0.02)
        bench = client('pgbench', '-i', '-q', '-s', '1', 'postgres').returncode
        work = client('pgbench', '-n', '-c', str(clients), '-j', '2', '-t', str(n), 'postgres')
        books = client('psql', '-At', '-c', '''select (select sum(abalance) from pgbench_accounts) =
            (select sum(delta) from pgbench_history), (select sum(tbalance) from pgbench_tellers) =
            (select sum(bbalance) from pgbench_branches), (select count(*) from pgbench_history);
            do $$ begin for i in 1..200 loop begin perform 1 / (i % 3); exception when division_by_zero then null; end; end loop; end $$;
            select md5(string_agg(x::text, ',' order by x)) from generate_series(1, 20000) x''', 'postgres')
        server.send_signal(2)
        return f'{server.wait(60)} {bench} {work.returncode} {books.stdout}{books.stderr}' + \
            ' '.join(re.findall(r'number of (?:failed )?transactions.*', work.stdout)) + \
            ' '.join(re.findall(r'.*(?:PANIC|terminated by signal).*', open(place.path('log')).read()))


class Clang(Workload):
    name, what, needs = 'clang', 'the object that it makes', 'clang'

    def find(self):
        found = sorted(glob.glob('/usr/lib/llvm-*/bin/clang'))
        return found[-1] if found else None

    def prepare(self, place):
        self.exe = place.program(self.find(), 'clang')
        self.resource = subprocess.run([self.find(), '-print-resource-dir'], capture_output=True, text=True).stdout.strip()

    def run(self, place):
        source, out = place.path('big.c'), place.path('big.o')
        with open(source, 'w') as f:
            f.write('typedef unsigned long u; struct s { u a[8]; double d; };\n')
            for i in range(self.size(40, 3000)):
                f.write(f'u f{i}(u x, struct s *p) {{ for (u i = 0; i < x % {i % 9 + 3}; i++) switch (x >> i & 7) {{\n'
                        f'case 0: p->a[i & 7] += x * {i}; break; case 1: x ^= p->a[1]; case 2: p->d *= 1.5 + {i}; break;\n'
                        f'case 5: x = x / {i + 1} + p->a[x & 3]; break; default: p->a[2] -= i << {i % 15}; }}\n'
                        f'return x + p->a[0] * {i} + (u)p->d{f" + f{i - 1}(x / 2, p)" if i else ""}; }}\n')
        made = said([self.exe, '-cc1', '-emit-obj', '-O2', '-triple', 'x86_64-linux-gnu', '-resource-dir', self.resource, '-o', out, source],
                    place, merge=True)
        return made + digest(out)


class Go(Workload):
    name, what, needs, short = 'go', 'the object that its compiler makes', 'golang-go', True
    def find(self):
        found = sorted(glob.glob('/usr/lib/go-*/pkg/tool/linux_amd64/compile'))
        return found[-1] if found else None

    def prepare(self, place):
        self.exe = place.program(self.find(), 'compile')

    def run(self, place):
        out = place.path('out.a')
        with open(place.path('p.go'), 'w') as f:
            f.write('package p\n\ntype S struct { a [8]uint64; d float64; m map[string]int }\n')
            for i in range(self.size(100, 2000)):
                f.write(f'func f{i}(x uint64, p *S) (r uint64) {{ defer func() {{ if v := recover(); v != nil {{ r = {i} }} }}()\n'
                        f'for i := uint64(0); i < x%{i % 9 + 3}; i++ {{ switch x >> i & 7 {{ case 0: p.a[i&7] += x * {i}\n'
                        f'case 1: x ^= p.a[1]; p.m["k{i}"]++; case 5: x = x/{i + 1} + p.a[x&3]; default: p.a[2] -= i << {i % 15} }} }}\n'
                        f'return x + p.a[0]*{i} + uint64(p.d){f" + f{i - 1}(x/2, p)" if i else ""} }}\n')
        made = said([self.exe, '-p', 'p', '-complete', '-o', out, 'p.go'], place, merge=True)
        return made + digest(out)


class Rust(Workload):
    name, what, needs = 'rust', 'what it finds', 'ripgrep'

    def find(self):
        return shutil.which('rg', path='/usr/bin:/bin')

    def prepare(self, place):
        self.exe = place.program(self.find(), 'rg')

    def run(self, place):
        where = sorted(glob.glob('/usr/include/*'))[:None if self.long else 60]
        out = ''
        for pattern in (r'\b(\w+)_t\b.*\1', r'(?i)struct\s+[a-z]+\w*\s*\{', r'[^\x00-\x7f]', 'e(?=x)'):
            for _ in range(self.size(1, 20)):
                out += said([self.exe, '--sort', 'path', '--no-config', '-c', pattern, *where], place, merge=True)
        return hashlib.sha256(out.encode()).hexdigest() + f' {len(out)}'


class Node(Workload):
    name, what, needs = 'node', 'what it computes', 'node'
    helpers = True

    def find(self):
        return shutil.which('node', path='/usr/bin:/bin')

    def prepare(self, place):
        self.exe = place.program(self.find(), 'node')

    def run(self, place):
        script = f'const turns = {self.size(2, 60)};' + r'''
            const z = require('zlib'), c = require('crypto'), { Worker, isMainThread } = require('worker_threads');
            function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
            let h = c.createHash('sha256'), caught = 0;
            for (let t = 0; t < turns; t++) {
              const words = []; let x = 7 + t;
              for (let i = 0; i < 20000; i++) { x = (x * 1103515245 + 12345) & 0x7fffffff; words.push((x % 4096).toString(36)); }
              const m = new Map(); for (const w of words) m.set(w, (m.get(w) || 0) + 1);
              const text = JSON.stringify([...m].sort());
              h.update(text); h.update(String(z.inflateSync(z.deflateSync(text)).length)); h.update(String(fib(22)));
              h.update(words.join(' ').replace(/([a-z])(\d)/g, '$2$1'));
              for (let i = 0; i < 500; i++) try { if (i % 3) null.x; else JSON.parse('{'); } catch (e) { caught++; }
            }
            console.log(h.digest('hex'), caught, Object.keys(process.versions).length);
            setTimeout(() => require('fs').readFile(process.execPath, (e, d) => console.log(e, d.length)), 5);'''
        return said([self.exe, '-'], place, script, merge=True)


class Java(Workload):
    """A virtual machine that catches SIGSEGV for its own purposes: null pointers, safepoints, the ends of stacks."""
    name, what, needs, returns = 'java', 'what it computes', 'a JDK', 0.3
    LIBRARIES = 'libjli.so', 'libjava.so', 'libjimage.so', 'libnio.so', 'libnet.so', 'libzip.so', 'server/libjvm.so'
    SOURCE = '''
        import java.util.*; import java.util.concurrent.*; import java.util.stream.*;
        public class Work {
          static int deep(int n) { return deep(n + 1) + 1; }
          static int length(String s) { return s.length(); }
          static long fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
          public static void main(String[] a) throws Exception {
            int turns = Integer.parseInt(a[0]); long nulls = 0, overflows = 0, sum = 0;
            ExecutorService pool = Executors.newFixedThreadPool(4);
            for (int t = 0; t < turns; t++) {
              List<Future<Long>> parts = new ArrayList<>();
              for (int k = 0; k < 8; k++) { final int from = k + t; parts.add(pool.submit(() -> {
                Map<String, List<byte[]>> m = new TreeMap<>();
                for (int i = 0; i < 20000; i++) m.computeIfAbsent(Integer.toString(i * (from + 7) % 997, 36), x -> new ArrayList<>()).add(new byte[i % 300]);
                return m.values().stream().flatMap(List::stream).mapToLong(b -> b.length).sum() + fib(18) + m.toString().length() % 2 * 0; })); }
              for (Future<Long> f : parts) sum += f.get();
              for (int i = 0; i < 20000; i++) try { length(i % 3 == 0 ? null : "abc"); } catch (NullPointerException e) { nulls++; }
              for (int i = 0; i < 3; i++) try { deep(0); } catch (StackOverflowError e) { overflows++; }
              System.gc();
            }
            pool.shutdown();
            System.out.println(sum + " " + nulls + " " + overflows + " " +
              IntStream.range(0, 100000).parallel().mapToObj(Integer::toHexString).filter(s -> s.matches("[a-f]+\\\\d*")).count());
          }
        }'''
    helpers = True

    def find(self):
        return shutil.which('javac')

    def prepare(self, place):
        home = os.path.realpath(self.find()).removesuffix('/bin/javac')
        os.makedirs(place.path('jvm/lib/server'))
        for name in os.listdir(f'{home}/lib'):
            if name not in self.LIBRARIES and name != 'server':
                os.symlink(f'{home}/lib/{name}', place.path(f'jvm/lib/{name}'))
        os.symlink(f'{home}/conf', place.path('jvm/conf'))
        for name in self.LIBRARIES:
            place.add(f'{home}/lib/{name}', f'jvm/lib/{name}')
        for lib in 'libc.so.6', 'libm.so.6', 'libstdc++.so.6', 'libgcc_s.so.1', 'libz.so.1':
            found = glob.glob(f'/lib/x86_64-linux-gnu/{lib}') + glob.glob(f'/usr/lib/x86_64-linux-gnu/{lib}')
            found and place.add(found[0], f'lib/{lib}')
        self.exe = place.program(f'{home}/bin/java', 'jvm/bin/java')
        with open(place.path('Work.java'), 'w') as f:
            f.write(self.SOURCE)
        subprocess.run([self.find(), '-d', place.dir, place.path('Work.java')], check=True)

    def run(self, place):
        return said([self.exe, '-Xmx256m', '-Xss512k', '-cp', place.dir, 'Work', str(self.size(2, 60))], place, merge=True)


def all_of(long):
    return [kind(long) for kind in (Sqlite, Redis, Go, Rust, Nginx, Postgres, Python, Clang, Node, Java)]
