package main

import (
	"encoding/csv"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/io/postgres/pgtest"
)

// tableRig is a soak whose runs publish to tables of a server, and what they have to hold.
type tableRig struct {
	*soak

	server *pgtest.Server
	rows   []string // id and prediction of every row of a whole run, sorted
}

func newTableRig(t *testing.T) *tableRig {
	t.Helper()
	server := pgtest.Start(t) // skips where there is none
	r := &tableRig{soak: newSoak(t), server: server}
	out := filepath.Join(r.dir, "whole.csv")
	if code, said := r.start(out).wait(t); code != 0 {
		t.Fatalf("whole run to CSV: %d: %s", code, said)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	r.rows = scores(t, string(data[strings.IndexByte(string(data), '\n')+1:]))
	return r
}

// scores reads lines of id and prediction as CSV, and sorts them; numbers are written in
// one way.
func scores(t *testing.T, text string) []string {
	t.Helper()
	records, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	lines := make([]string, len(records))
	for i, r := range records {
		v, err := strconv.ParseFloat(r[1], 32)
		if err != nil {
			t.Fatal(err)
		}
		lines[i] = r[0] + "," + strconv.FormatFloat(v, 'g', -1, 32)
	}
	slices.Sort(lines)
	return lines
}

// check asks psql for all rows of a table, and compares them with those of the file.
func (r *tableRig) check(t *testing.T, table string) {
	t.Helper()
	got := scores(t, r.server.Must(t, "COPY (SELECT id, variable FROM "+table+") TO STDOUT (FORMAT csv)"))
	if !slices.Equal(got, r.rows) {
		t.Errorf("%s has %d rows that are not the %d of a whole run to a file", table, len(got), len(r.rows))
	}
	want := fmt.Sprintf("published|%d|%d", len(r.rows), soakFiles*int(r.soak.rows)-len(r.rows))
	if got := r.server.Must(t, "SELECT state, rows_written, rows_rejected FROM "+table+"_millrace.runs"); got != want {
		t.Errorf("runs has %s; want %s", got, want)
	}
	if got, want := r.server.Must(t, "SELECT count(*) FROM "+table+"_millrace.reject"), strconv.Itoa(soakFiles*int(r.soak.rows)-len(r.rows)); got != want {
		t.Errorf("%s rejects; want %s", got, want)
	}
	if got := r.server.Must(t, "SELECT count(*) FROM pg_class WHERE relname LIKE 'rows_%' AND relnamespace = '"+table+"_millrace'::regnamespace AND relkind = 'r'"); got != "1" {
		t.Errorf("%s tables of staged rows; want the run's alone", got)
	}
	if code, said := r.start(r.server.URI(table, "")).wait(t); code != 0 { // again: nothing to do
		t.Errorf("again: %d: %s", code, said)
	}
}

// tableRuns is how many runs of each kind there are: a few, or what SOAK_RUNS says.
func tableRuns(t *testing.T) int {
	t.Helper()
	if os.Getenv("SOAK_RUNS") == "" {
		return 2
	}
	return soakRuns(t)
}

// TestTableKilled kills runs at any moment, starts them again, and compares what the table
// has then with the file of a whole run.
func TestTableKilled(t *testing.T) {
	slow(t)
	r := newTableRig(t)
	taken := 0
	for n := range tableRuns(t) {
		table := fmt.Sprintf("killed%d", n)
		for range 3 {
			p := r.start(r.server.URI(table, ""))
			time.Sleep(time.Duration(r.random.Int64N(int64(r.took))))
			_ = p.cmd.Process.Kill() // it may have ended
			if code, said := p.wait(t); code != -1 && code != 0 {
				t.Fatalf("killed: %d: %s", code, said)
			}
		}
		p := r.start(r.server.URI(table, ""))
		if code, said := p.wait(t); code != 0 {
			t.Fatalf("after three kills: %d: %s", code, said)
		}
		if p.summary(t).RowsTaken > 0 {
			taken++
		}
		r.check(t, table)
	}
	t.Logf("%d of %d runs went on with what killed ones had finished", taken, tableRuns(t))
}

// TestTableServerKilled kills the server under runs.
func TestTableServerKilled(t *testing.T) {
	slow(t)
	r := newTableRig(t)
	for n := range tableRuns(t) {
		table := fmt.Sprintf("crashed%d", n)
		p := r.start(r.server.URI(table, ""))
		time.Sleep(time.Duration(r.random.Int64N(int64(r.took))))
		r.server.Kill()
		code, said := p.wait(t)
		if code != 0 && code != 75 && code != 6 {
			t.Fatalf("server killed: %d: %s", code, said)
		}
		if err := r.server.Start(); err != nil {
			t.Fatal(err)
		}
		if code, said := r.start(r.server.URI(table, "")).wait(t); code != 0 {
			t.Fatalf("after the crash: %d: %s", code, said)
		}
		r.check(t, table)
	}
}

// TestTableSecret: a password goes to the server and nowhere else, whichever way it comes.
func TestTableSecret(t *testing.T) {
	slow(t)
	const secret = "S3cr3t-pässword/&?"
	server := pgtest.Start(t)
	server.Must(t, "CREATE ROLE u LOGIN SUPERUSER PASSWORD '"+secret+"'")
	if err := server.RequirePasswords("u"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeFixtures(t, dir)
	program, env := programIn(t, dir)
	pass, service := filepath.Join(dir, "pass"), filepath.Join(dir, "service")
	write(t, pass, []byte("*:*:*:u:"+secret+"\n"))
	write(t, service, []byte("[night]\nhost="+server.Dir+"\nuser=u\ndbname=postgres\npassword="+secret+"\n"))
	encoded := strings.NewReplacer("ä", "%C3%A4", "/", "%2F", "&", "%26", "?", "%3F").Replace(secret)
	bare := strings.Replace(server.URI("t", ""), "postgres@", "u@", 1)
	tests := []struct {
		why, uri string
		env      []string
		code     int
	}{
		{"in the URI", strings.Replace(bare, "u@", "u:"+encoded+"@", 1), nil, 0},
		{"as a parameter", bare + "&password=" + encoded, nil, 0},
		{"in the environment", bare, []string{"PGPASSWORD=" + secret}, 0},
		{"in a password file", bare, []string{"PGPASSFILE=" + pass}, 0},
		{"in a service file", "postgres://?service=night&table=t", []string{"PGSERVICEFILE=" + service}, 0},
		{"a wrong one", strings.Replace(bare, "u@", "u:"+encoded+"wrong@", 1), nil, 6},
		{"with a parameter that the server refuses", bare + "&password=" + encoded + "&nonsense=1", nil, 6},
		{"with a bad port", strings.Replace(bare, "u@/", "u:"+encoded+"@h:99999/", 1), nil, 2},
		{"in a URI that cannot be read", "postgres://u:" + encoded + "%zz@h/d?table=t", nil, 2},
		{"without a table", "postgres://u:" + encoded + "@h/d", nil, 2},
	}
	for i, test := range tests {
		t.Run(test.why, func(t *testing.T) {
			table := fmt.Sprintf("t%d", i)
			s := &soak{program: program, env: append(slices.Clone(env), test.env...), args: []string{
				"score", "--model", filepath.Join(dir, "named.onnx"), "--input", filepath.Join(dir, "good.parquet"), "--ids", "id", "--log-format", "json",
			}}
			p := s.start(strings.Replace(test.uri, "table=t", "table="+table, 1))
			code, said := p.wait(t)
			if code != test.code {
				t.Errorf("exit %d: %s; want %d", code, said, test.code)
			}
			var kept strings.Builder
			if code == 0 {
				kept.WriteString(server.Must(t, "SELECT manifest FROM "+table+"_millrace.run; SELECT holder FROM "+table+"_millrace.holder"))
				server.Must(t, "UPDATE "+table+" SET y = y + 1 WHERE id = 10")
			}
			for _, args := range [][]string{{"replay", "--where", "id=10"}, {"replay", "--where", "id=10", "--json"}, {"verify"}} {
				again := &soak{program: program, env: s.env}
				read := again.command(append(args, strings.Replace(test.uri, "table=t", "table="+table, 1))...)
				exit, answer := read.wait(t)
				if want := map[bool]int{true: 3, false: 4}[args[0] == "replay"]; code == 0 && exit != want {
					t.Errorf("%v of a value that psql changed: exit %d: %s; want %d", args, exit, answer, want)
				}
				kept.WriteString(answer + read.stdout.String())
			}
			for _, part := range []string{secret, encoded, "S3cr3t"} {
				if strings.Contains(said+p.stdout.String()+kept.String(), part) {
					t.Errorf("%q is seen: %s%s%s", part, said, p.stdout.String(), kept.String())
				}
			}
		})
	}
}

// TestPostgresPage runs what docs/postgres.md shows: two days of scores, and the three
// questions.
func TestPostgresPage(t *testing.T) {
	slow(t)
	server := pgtest.Start(t)
	page, err := os.ReadFile("../../docs/postgres.md")
	if err != nil {
		t.Fatal(err)
	}
	program, env := programIn(t, t.TempDir())
	commands, queries := blocksOf(string(page), "sh"), blocksOf(string(page), "sql")
	if len(commands) != 1 || len(queries) != 3 {
		t.Fatalf("the page has %d commands and %d queries", len(commands), len(queries))
	}
	score := func(more ...string) {
		t.Helper()
		database, _, _ := strings.Cut(server.URI("", ""), "table=")
		args := strings.Fields(strings.NewReplacer("\\\n", " ", "'", "", "postgres://me@db.example/scoring?", database).Replace(commands[0]))
		p := &process{}
		p.cmd = exec.Command(program, append(append(args[1:], "--quiet"), more...)...)
		p.cmd.Env, p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = env, "../..", &p.stdout, &p.stderr
		if err := p.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if code, said := p.wait(t); code != 0 {
			t.Fatalf("%v: exit %d: %s", p.cmd.Args, code, said)
		}
	}
	score()
	server.Must(t, "UPDATE flights_millrace.run SET finished = finished - interval '1 day', published = published - interval '1 day'")
	score("--if-exists", "append", "--where", "month <= 6", "--restart")
	first := server.Must(t, "SELECT run FROM flights_millrace.runs ORDER BY published LIMIT 1")
	half := server.Must(t, "SELECT count(*) FROM flights WHERE millrace_run <> '"+first+"'")

	latest := strings.Split(server.Must(t, queries[0]), "\n")
	if len(latest) != 50000 {
		t.Errorf("the latest scores are %d; want one of each of 50,000 ids", len(latest))
	}
	if got := server.Must(t, "SELECT count(*) FROM ("+strings.TrimSuffix(strings.TrimSpace(queries[0]), ";")+") q JOIN flights_millrace.runs r ON r.published = q.run_published WHERE r.run <> '"+first+"'"); got != half || half == "0" {
		t.Errorf("%s of them are of the second run, which wrote %s", got, half)
	}
	days := strings.Split(server.Must(t, queries[1]), "\n")
	if len(days) != 2 || !strings.Contains(days[0], "|50000|") || !strings.Contains(days[1], "|"+half+"|") {
		t.Errorf("by day: %q", days)
	}
	runs := strings.Split(server.Must(t, queries[2]), "\n")
	if len(runs) != 2 || !strings.Contains(runs[0], "|flights_gbdt.onnx|") || !strings.HasSuffix(runs[0], "|50000|"+half+"|0") || !strings.HasSuffix(runs[1], "|50000|50000|0") {
		t.Errorf("by run: %q", runs)
	}

	// verify finds what was changed, times too, and runs lists both.
	server.Must(t, "UPDATE flights_millrace.run SET finished = finished + interval '1 day' WHERE run = '"+first+"'")
	uri := server.URI("public.flights", "")
	ask := func(args ...string) (int, string) {
		p := &process{}
		p.cmd = exec.Command(program, args...)
		p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = env, &p.stdout, &p.stderr
		if err := p.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		code, said := p.wait(t)
		return code, p.stdout.String() + said
	}
	if code, said := ask("verify", uri); code != 0 || !strings.Contains(said, "every row has the values that its run wrote") {
		t.Errorf("verify: exit %d: %s", code, said)
	}
	if code, said := ask("runs", uri); code != 0 || strings.Count(said, "live") != 2 {
		t.Errorf("runs: exit %d: %s", code, said)
	}
	if code, said := ask("replay", uri, "--where", "id=60"); code != 0 || !strings.Contains(said, "2 rows: 2 equal") {
		t.Errorf("replay: exit %d: %s", code, said)
	}
	for _, change := range []struct{ why, do, want string }{
		{"a value", "UPDATE flights SET variable = variable + 1 WHERE id = 60 AND millrace_run = '" + first + "'", "other values"},
		{"a row", "DELETE FROM flights WHERE id = 60 AND millrace_run = '" + first + "'", "has 49999 rows of the run"},
		{"the manifest", "UPDATE flights_millrace.run SET manifest = replace(manifest::text, '50000', '50001')::json", "was changed since it was published"},
		{"the table", "DROP TABLE flights CASCADE", "is gone"},
	} {
		server.Must(t, change.do)
		if code, said := ask("verify", uri); code != 4 || !strings.Contains(said, change.want) {
			t.Errorf("verify after %s was changed: exit %d: %s", change.why, code, said)
		}
	}
}
