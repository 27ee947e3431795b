"""Runs the main job of docs/usage.md, command by command, with the unmodified upstream clients.

The table in docs/usage.md ("The main job, command by command", or the one that --table names) is the test: each row is a
role, a command, what it does and what must hold then. Run by the Python of the clients' virtual environment; scripts/story
and scripts/demo set the scene.

The column "Then" holds conditions, separated by semicolons:
  saves KEY as NAME           keeps a value of the JSON answer for later rows, which write it {NAME}
  shows KEY = VALUE           the answer's member equals VALUE (/regular expression/ allowed)
  lists KEY = VALUE           a row of the answer has it;  does not list KEY = VALUE: none has
  says TEXT                   the plain output contains TEXT (/regular expression/ allowed)
  fails with TEXT             the command is refused, and says so
  within N s                  the row is repeated until everything holds
  in N s                      it holds so long after the row before
  full                        the row is left out of the short form
"""
import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TABLE = os.path.join(HERE, '..', '..', 'docs', 'usage.md')


class Row:
    def __init__(self, chapter, cells, line):
        self.chapter, self.line = chapter, line
        self.role, command, self.does, then = cells
        self.command = command.strip('`').replace('\\|', '|')
        self.then = [part.strip().strip('`') for part in then.replace('\\|', '|').split(';') if part.strip()]
        self.full = 'full' in self.then
        self.then = [part for part in self.then if part != 'full']


def read_table(path, title):
    """The rows of the table under a title, with the chapter that each stands under."""
    rows, inside, chapter = [], False, ''
    with open(path) as f:
        for number, line in enumerate(f, 1):
            line = line.strip()
            if line.startswith('## '):
                inside = line == '## ' + title
            elif inside and line.startswith('### '):
                chapter = line[4:]
            elif inside and line.startswith('|'):
                cells = [cell.strip() for cell in re.split(r'(?<!\\)\|', line)[1:-1]]
                if len(cells) == 4 and cells[0] != 'Role' and not set(cells[0]) <= set('-: '):
                    rows.append(Row(chapter, cells, number))
    if not rows:
        sys.exit('story: %s has no table under "%s"' % (path, title))
    return rows


class Unmet(Exception):
    """A condition that does not hold."""


class Story:
    def __init__(self, options):
        self.options = options
        self.folder = tempfile.TemporaryDirectory(prefix='steelyard-story-')
        self.work = self.folder.name
        with open(options.scene) as f:
            self.values = json.load(f)
        self.values['work'] = self.work
        self.passed = self.failed = self.killed = 0
        self.last_end = time.time()
        # The client's libraries once; each command runs in a child that has them already.
        import openstackclient.shell  # noqa: F401
        import metalsmith._cmd  # noqa: F401

    def fill(self, text):
        def one(match):
            if match[1] not in self.values:
                raise Unmet('{%s} is not known: an earlier row should have saved it' % match[1])
            return str(self.values[match[1]])
        return re.sub(r'\{([a-z_][a-z0-9_.]*)\}', one, text)

    # -- running

    def environment(self, role):
        # The ESI plug-in sets the API version when it is loaded, which here has happened already.
        keep = {k: v for k, v in os.environ.items() if not k.startswith('OS_') or k == 'OS_BAREMETAL_API_VERSION'}
        keep.update(OS_CLOUD=role, OS_CLIENT_CONFIG_FILE=self.values['clouds'], PYTHONWARNINGS='ignore', COLUMNS='180')
        return keep

    def run(self, role, argv):
        out, err = os.path.join(self.work, 'out'), os.path.join(self.work, 'err')
        if argv[0] in ('openstack', 'metalsmith'):
            code = self.in_child(role, argv, out, err)
        else:
            if argv[0] == 'steelyard':
                argv = [self.values['steelyard']] + argv[1:]
            with open(out, 'wb') as o, open(err, 'wb') as e:
                process = subprocess.Popen(argv, env=self.environment(role), stdin=subprocess.DEVNULL, stdout=o, stderr=e)
            code = self.awaited(process.poll, process.kill)
            process.wait()
        with open(out, errors='replace') as o, open(err, errors='replace') as e:
            return code, o.read(), e.read()

    def in_child(self, role, argv, out, err):
        child = os.fork()
        if child == 0:
            code = 70
            try:
                for descriptor, path in ((0, os.devnull), (1, out), (2, err)):
                    flags = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
                    os.dup2(os.open(path, flags, 0o600), descriptor)
                sys.stdin, sys.stdout, sys.stderr = open(0), open(1, 'w'), open(2, 'w')
                environment = self.environment(role)
                os.environ.clear()
                os.environ.update(environment)
                sys.argv = argv
                if argv[0] == 'openstack':
                    from openstackclient import shell
                    code = shell.main(argv[1:]) or 0
                else:
                    from metalsmith import _cmd
                    code = _cmd.main(argv[1:]) or 0
            except SystemExit as error:
                code = error.code if isinstance(error.code, int) else (0 if error.code is None else 1)
            except BaseException:
                import traceback
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(int(code) & 255)
        def poll():
            done, status = os.waitpid(child, os.WNOHANG)
            return os.waitstatus_to_exitcode(status) if done else None

        def kill():
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        return self.awaited(poll, kill)

    def awaited(self, poll, kill):
        """The exit status of a started command; tells every few seconds that it still runs, and ends it at the limit (124)."""
        begun = told = time.time()
        while True:
            code = poll()
            if code is not None:
                return code
            if time.time() - begun > self.options.limit:
                kill()
                return 124
            if time.time() - told > 2:
                told = time.time()
                self.say('      … %3.0f s' % (told - begun))
            time.sleep(0.01)

    # -- conditions

    @staticmethod
    def matches(found, wanted):
        if isinstance(found, (dict, list)):
            found = json.dumps(found)
        found = '' if found is None else str(found)
        if len(wanted) > 1 and wanted[0] == wanted[-1] == '/':
            return re.search(wanted[1:-1], found, re.S) is not None
        return found.lower() == wanted.lower()

    @staticmethod
    def member(answer, key):
        """A member by its name; case, spaces, dashes and underscores do not matter: plug-ins print titles or names."""
        def plain(text):
            return re.sub(r'[\s_-]', '', text).lower()
        if isinstance(answer, list) and answer and set(answer[0]) == {'Field', 'Value'}:
            answer = {row['Field']: row['Value'] for row in answer}
        path, value = key.split('.'), answer
        for name in path:
            if isinstance(value, str):
                try:
                    value = json.loads(value.replace("'", '"'))
                except ValueError:
                    return None
            if not isinstance(value, dict):
                return None
            value = next((v for k, v in value.items() if plain(k) == plain(name)), None)
        return value

    def check(self, row, code, out, err, seconds):
        wants_failure = [self.fill(part[len('fails with '):]) for part in row.then if part.startswith('fails with ')]
        if wants_failure:
            if code == 0:
                raise Unmet('it should have been refused')
            for text in wants_failure:
                if not (self.matches(out + err, text) if text[0] == '/' else text.lower() in (out + err).lower()):
                    raise Unmet('it should have said "%s" but said: %s' % (text, (err or out).strip()[-400:]))
            return
        if code != 0:
            raise Unmet('status %d: %s' % (code, (err or out).strip()[-700:]))
        answer = None
        if any(re.match(r'(saves|shows|lists|does not list) ', part) for part in row.then):
            try:
                answer = json.loads(out)
            except ValueError:
                raise Unmet('the answer is not JSON: %s' % out[:300])
        for part in row.then:
            if match := re.fullmatch(r'saves (\S+) as (\S+)', part):
                value = self.member(answer[0] if isinstance(answer, list) and answer else answer, match[1])
                if value in (None, ''):
                    raise Unmet('the answer has no %s' % match[1])
                self.values[match[2]] = value
            elif match := re.fullmatch(r'shows (\S+) = (.*)', part):
                value, wanted = self.member(answer, match[1]), self.fill(match[2])
                if not self.matches(value, wanted):
                    error = self.member(answer, 'last_error')
                    raise Unmet('%s is %s, not %s%s' % (match[1], value, wanted, '; last_error: %s' % error if error else ''))
            elif match := re.fullmatch(r'(lists|does not list) (\S+) = (.*)', part):
                wanted = self.fill(match[3])
                found = any(self.matches(self.member(item, match[2]), wanted) for item in answer)
                if found != (match[1] == 'lists'):
                    raise Unmet('%s %s = %s' % ('does not list' if not found else 'lists', match[2], wanted))
            elif match := re.fullmatch(r'says (.*)', part):
                wanted = self.fill(match[1])
                if not (self.matches(out, wanted) if wanted[0] == '/' else wanted in out):
                    raise Unmet('it does not say "%s" but: %s' % (wanted, out.strip()[-300:]))
            elif match := re.fullmatch(r'in (\d+(?:\.\d+)?) s', part):
                if seconds > float(match[1]):
                    raise Unmet('it took %.1f s' % seconds)
            elif not re.fullmatch(r'within \d+ s', part):
                raise Unmet('the table says "%s", which is no condition' % part)

    # -- one row

    def play(self, row):
        begun = time.time()
        patience = next((int(m[1]) for m in (re.fullmatch(r'within (\d+) s', part) for part in row.then) if m), 0)
        argv = shlex.split(self.fill(row.command))
        needs_json = any(re.match(r'(saves|shows|lists|does not list) ', part) for part in row.then)
        if needs_json and argv[0] == 'openstack' and '-f' not in argv:
            argv += ['-f', 'json']
        if needs_json and argv[0] == 'metalsmith' and '--format' not in argv:
            argv[1:1] = ['--format', 'json']
        shown = time.time()
        progress = ''
        while True:
            code, out, err = self.run(row.role, argv)
            try:
                self.check(row, code, out, err, time.time() - self.last_end)
                self.last_end = time.time()
                # Preparing takes less than a second: nobody who asks for the node's state sees it for sure.
                if 'preparing' in self.options.kill and ' node deploy ' in row.command:
                    self.kill_server('preparing')
                refused = any(part.startswith('fails with ') for part in row.then)
                return self.refusal(out, err) if refused else self.brief(out), time.time() - begun
            except Unmet as reason:
                if time.time() - begun > patience:
                    raise
                if re.search(r"state is \S* ?failed|state is error", str(reason)) and 'failed' not in row.command:
                    raise
                if self.options.kill and patience:
                    self.restart_server(out)
                progress = self.progress(out) or progress
                if time.time() - shown > max(2, (shown - begun) / 20):
                    shown = time.time()
                    self.say('      … %3.0f s  %s%s' % (shown - begun, str(reason).split(' but: ')[0][:90], progress))
                time.sleep(1)

    def restart_server(self, out):
        """Kills the server with SIGKILL at the chosen moments of a deployment, and starts it again."""
        try:
            node = json.loads(out)
        except ValueError:
            return
        state, step = self.member(node, 'provision_state'), self.progress(out)
        moment = 'booting' if state == 'wait call-back' else 'writing' if 'write-image' in step else 'preparing' if state == 'deploying' else None
        if moment in self.options.kill:
            self.kill_server(moment, step)

    def kill_server(self, moment, step=''):
        self.options.kill.remove(moment)
        with open(self.values['folder'] + '/server.pid') as f:
            os.kill(int(f.read()), signal.SIGKILL)
        with open(self.values['folder'] + '/server.log', 'ab') as log:
            server = subprocess.Popen([self.values['steelyard'], 'serve', '--data', self.values['site']], stdin=subprocess.DEVNULL,
                                      stdout=log, stderr=log, start_new_session=True)
        with open(self.values['folder'] + '/server.pid', 'w') as f:
            f.write('%d\n' % server.pid)
        self.killed += 1
        self.say('      the server was killed while %s%s, and started again' % (moment, step))

    def progress(self, out):
        """The step, percent and estimate of a node that is worked on, from its documented fields; or the last line of a console."""
        try:
            node = json.loads(out)
        except ValueError:
            lines = [re.sub(r'\x1b?\[[0-9;?]*m|\x1b\[[0-9;?]*[A-Za-z]|[^\x20-\x7e\u2026]', '', line).strip() for line in out.splitlines()]
            return next(('  [%s]' % line[:80] for line in reversed(lines) if line), '')
        for field in ('deploy_step', 'clean_step'):
            step = self.member(node, field)
            if isinstance(step, str):
                try:
                    step = json.loads(step.replace("'", '"').replace('None', 'null'))
                except ValueError:
                    step = None
            if step:
                left = step.get('remaining_seconds')
                return '  [%s %s %%%s]' % (step.get('step'), step.get('percent'), '' if left is None else ', %s s left' % left)
        return ''

    @staticmethod
    def say(text):
        print(text, flush=True)

    @staticmethod
    def brief(out):
        """The answer in short."""
        try:
            answer = json.loads(out)
        except ValueError:
            lines = [line for line in out.splitlines() if line.strip()]
            return lines[-1][:150] if lines else 'ok'
        if isinstance(answer, list):
            return '%d rows' % len(answer)
        if not isinstance(answer, dict):
            return str(answer)[:150]
        keep = ['name', 'id', 'uuid', 'Name', 'ID', 'UUID', 'provision_state', 'power_state', 'status', 'Status', 'boot_device']
        return ', '.join('%s %s' % (k, answer[k]) for k in keep if answer.get(k))[:150] or 'ok'

    @staticmethod
    def refusal(out, err):
        """Why a command was refused, in short; a ping that reached nobody says so itself."""
        lines = [line for line in (err + out).splitlines() if line.strip()]
        told = next((line for line in lines if 'packet loss' in line), lines[-1] if lines else '')
        return ('' if 'packet loss' in told else 'refused, as it should be: ') + told.strip()[:150]

    def tell(self, rows):
        chapter = None
        for row in rows:
            if row.chapter != chapter:
                chapter = row.chapter
                self.say('\n%s' % chapter)
            self.say('  [%s] %s' % (row.role, self.hidden(row.command)))
            try:
                answer, seconds = self.play(row)
                self.passed += 1
                self.say('      ok, %.1f s: %s' % (seconds, answer))
            except Unmet as reason:
                self.failed += 1
                self.say('      FAILED (docs/usage.md line %d, "%s"): %s' % (row.line, row.does, reason))
                return

    def hidden(self, command):
        """The command with its names filled in and its passwords not."""
        shown = re.sub(r'\{([a-z0-9_.]*(?:password|secret)[a-z0-9_.]*)\}', '********', command)
        try:
            return self.fill(shown)
        except Unmet:
            return shown


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--scene', required=True, help='JSON file of the names that the table uses')
    parser.add_argument('--short', action='store_true', help='leave out the rows marked "full"')
    parser.add_argument('--kill', default='', help='moments of the first deployment at which the server is killed: preparing,booting,writing')
    parser.add_argument('--limit', type=int, default=300, help='seconds for one command')
    parser.add_argument('--table', default='The main job, command by command', help='title of the table in docs/usage.md')
    options = parser.parse_args()
    options.kill = [moment for moment in options.kill.split(',') if moment]
    wanted = list(options.kill)
    story = Story(options)
    rows = [row for row in read_table(TABLE, options.table) if not (options.short and row.full)]
    story.tell(rows)
    if options.kill and not story.failed:
        story.failed += 1
        print('the deployment was never seen while %s' % ', '.join(options.kill))
    if wanted:
        print('the server was killed and started again %d times in the middle of a deployment' % story.killed)
    with open(options.scene + '.saved', 'w') as f:
        json.dump(story.values, f, indent=1)
    print('\n%d passed, %d failed' % (story.passed, story.failed))
    return 0 if story.passed and not story.failed else 1


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit('story: interrupted')
