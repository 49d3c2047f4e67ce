# The stress driver: sessions that do everything at once to tables of several
# shapes (StressSession.pm), and a hand that kills the server now and then.
# After each crash, and in the end:
#
#	- what was committed is there, and nothing else (StressTruth.pm)
#	- by the index each row comes once, whatever the shape
#	- descartes_index_check(heapallindexed) finds nothing
#	- recall against an exact scan is above a floor
#	- a standby that streams all the time has the same rows, in the same order
#	- no files are left over, and no log tells of what must not happen
#
# The order of what happens depends on the machine; all choices are made from
# the seed.

package Stress;

use strict;
use warnings;

use Descartes;
use Differential;
use POSIX qw(_exit WNOHANG);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StressSession;
use StressTruth;
use Test::More;
use Time::HiRes qw(time usleep);

# Sessions that write, on the primary, and that read, on the standby
my $writers = 5;
my $readers = 1;

# The tables.  rows: how many there are to be; sources: vectors to choose from;
# batch: most rows of a statement; floor: of recall@10; weight: how often.
my %shapes = (
	sift => { operator => '<->', opclass => 'vector_l2_ops', dim => 128,
		rows => 2500, sources => 6000, batch => 40, floor => 0.93, weight => 4 },
	words => { operator => '<=>', opclass => 'vector_cosine_ops', dim => 100,
		rows => 2500, sources => 6000, batch => 40, floor => 0.93, weight => 4 },
	product => { operator => '<#>', opclass => 'vector_ip_ops', dim => 960,
		rows => 400, sources => 1200, batch => 10, floor => 0.93, weight => 2 },
	long => { operator => '<->', opclass => 'vector_l2_ops', dim => 3000,
		rows => 60, sources => 200, batch => 3, floor => 0.93, weight => 1 },
	equal => { operator => '<->', opclass => 'vector_l2_ops', dim => 16,
		rows => 1500, sources => 12, batch => 100, floor => 0.93, weight => 3 },
	grown => { operator => '<->', opclass => 'vector_l2_ops', dim => 16,
		rows => 800, sources => 3000, batch => 30, floor => 0.93, weight => 3, empty => 1 });

my $conf = q{
fsync = off
shared_buffers = 24MB
max_connections = 40
wal_consistency_checking = 'generic'
checkpoint_timeout = 30s
max_wal_size = 256MB
min_wal_size = 64MB
log_line_prefix = '%m [%p] %e '
log_checkpoints = off
log_statement = none
log_replication_commands = off
restart_after_crash = on
remove_temp_files_after_crash = on
dynamic_shared_memory_type = mmap
autovacuum_naptime = 3s
autovacuum_vacuum_threshold = 200
autovacuum_vacuum_cost_delay = 1
min_parallel_index_scan_size = 0
max_parallel_maintenance_workers = 2
maintenance_work_mem = 16MB
wal_retrieve_retry_interval = 200ms
max_standby_streaming_delay = 1s
};

# What no log may have: errors of the classes "internal" and "corrupted",
# panics, failed assertions, crashes that are not of our making
my $alarm = qr/\] XX\d\d\d (?:WARNING|ERROR|FATAL)|PANIC:|TRAP:|inconsistent page found|terminated by signal (?!9\b)|stack smashing|double free|AddressSanitizer/;
# ... but for what REINDEX does to those who have just looked an index up
my $harmless = qr/could not open relation with OID|cache lookup failed for (?:index|relation)|tuple concurrently (?:updated|deleted)/;

# Runs it.  Options: seconds, crashes, seed; out (a function that prints a
# line).  Returns a hash: crashes, operations, findings.
sub run
{
	my (%options) = @_;
	my $self = bless {
		seconds => 60, crashes => 3, seed => 1, out => sub { note($_[0]) }, %options,
		begun => time(), killed => 0, phase => 0, told => -1, check_time => 5, findings => 0, seen => {},
		tables => { map { $_ => { %{ $shapes{$_} } } } keys %shapes },
		truth => StressTruth->new }, __PACKAGE__;

	srand($self->{seed});
	$self->set_up;
	for (my $phases = $self->{crashes} + 1; $phases > 0; $phases--)
	{
		# a share of the time that is left, more or less
		my $left = $self->{begun} + $self->{seconds} - time() - $phases * $self->{check_time};
		my $seconds = $left / $phases * ($phases > 1 ? 0.5 + rand(1) : 1);

		$self->load($seconds > 2 ? $seconds : 2, $phases > 1 ? $self->next_crash : undef);
		$self->check;
	}
	$self->finish;

	my $operations = 0;
	my $by_name = $self->{truth}{operations};
	$operations += $_ foreach values %$by_name;
	$self->say(join ', ', map { "$_ $by_name->{$_}" } sort keys %$by_name);
	return { crashes => $self->{killed}, operations => $operations, findings => $self->{findings} };
}

sub say
{
	my ($self, $text) = @_;

	$self->{out}->(sprintf '%6.1f s  %s', time() - $self->{begun}, $text);
}

# A finding, with the end of the logs
sub finding
{
	my ($self, $text) = @_;

	$self->{findings}++;
	$self->say("FINDING (seed $self->{seed}, phase $self->{phase}): " . substr($text, 0, 3000));
	# the logs once per phase
	return if $self->{told} == $self->{phase};
	$self->{told} = $self->{phase};
	foreach my $node (@$self{qw(primary standby)})
	{
		next unless $node && -e $node->logfile;
		my @lines = split /\n/, slurp_file($node->logfile);
		my @told = grep { $lines[$_] =~ $alarm } 0 .. $#lines;
		my $last = @told ? $told[-1] + 5 : $#lines;

		$last = $#lines if $last > $#lines;
		$self->say('log of ' . $node->name . ' (' . $node->data_dir . '):');
		$self->{out}->("    " . substr($_, 0, 400))
		  foreach @lines[ ($last > 15 ? $last - 15 : 0) .. $last ];
	}
}

# Servers, tables, what to insert
sub set_up
{
	my ($self) = @_;
	my $primary = start_node("primary", $conf, allows_streaming => 1, extra => ['--data-checksums']);

	$self->{primary} = $primary;
	create_generators($primary);
	$primary->safe_psql('postgres', 'SELECT setseed(' . rand() . ')');
	$self->load_sources;
	foreach my $table (sort keys %shapes)
	{
		my $t = $self->{tables}{$table};

		$primary->safe_psql('postgres', qq{
			CREATE TABLE $table (id int PRIMARY KEY, ver int, note int, embedding vector($t->{dim}))
				WITH (fillfactor = 80);
			INSERT INTO ${table}_source SELECT -1, array_fill(0, ARRAY[$t->{dim}])::vector;
			ALTER TABLE ${table}_source ADD PRIMARY KEY (id);
			VACUUM ANALYZE ${table}_source;});
		$primary->safe_psql('postgres', qq{
			INSERT INTO $table SELECT i, 0, 0, s.embedding
				FROM generate_series(0, $t->{rows} - 1) i LEFT JOIN ${table}_source s
					ON i % 31 <> 0 AND s.id = (i * 7919::bigint) % $t->{sources};})
		  unless $t->{empty};
		$primary->safe_psql('postgres',
			"CREATE INDEX ${table}_fng ON $table USING fng (embedding $t->{opclass})");
		$t->{literals} = [ split /\n/, $primary->safe_psql('postgres',
				"SELECT embedding FROM ${table}_source WHERE id >= 0 ORDER BY id DESC LIMIT 50") ];
		$t->{queries} = $primary->safe_psql('postgres', "SELECT count(*) FROM ${table}_queries");
	}
	$self->{truth}{rows} = $self->server_rows($primary);

	$primary->safe_psql('postgres', q{SELECT pg_create_physical_replication_slot('standby', true)});
	$primary->backup('base');
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	$standby->init_from_backup($primary, 'base', has_streaming => 1);
	$standby->append_conf('postgresql.conf', 'primary_slot_name = standby');
	$standby->start;
	$self->{standby} = $standby;
	$self->{files} = { map { $_ => 1 } $self->unowned_files };
	$self->say('set up');
}

# TABLE_source (id from 0, embedding) and TABLE_queries (id from 0, embedding)
sub load_sources
{
	my ($self) = @_;
	my $node = $self->{primary};
	my $sift = dataset('sift-128-euclidean');
	my $gist = dataset('gist-960-euclidean');
	my $cut = sub {
		my ($table) = @_;

		$node->safe_psql('postgres', qq{
			CREATE TABLE ${table}_source AS SELECT id, embedding FROM raw;
			CREATE TABLE ${table}_queries AS SELECT row_number() OVER (ORDER BY id) - 1 AS id, embedding
				FROM (SELECT * FROM raw_queries ORDER BY id LIMIT 40) q;});
	};

	# the words are always there
	load_words($node, $shapes{words}{sources});
	$node->safe_psql('postgres', q{
		ALTER TABLE words RENAME TO raw; ALTER TABLE words_queries RENAME TO raw_queries;});
	$cut->('words');
	$node->safe_psql('postgres', 'DROP TABLE raw, raw_queries');
	if ($sift)
	{
		load_dataset($node, $sift, 'raw', '--rows', $shapes{sift}{sources});
		$cut->('sift');
	}
	if ($gist)
	{
		load_dataset($node, $gist, 'raw', '--rows', $shapes{product}{sources});
		$cut->('product');
		$node->safe_psql('postgres', qq{
			CREATE TABLE long_source AS SELECT row_number() OVER (ORDER BY a.id) - 1 AS id,
					a.embedding || b.embedding || c.embedding || subvector(c.embedding, 1, 120) AS embedding
				FROM raw a JOIN raw b ON b.id = a.id + 300 JOIN raw c ON c.id = a.id + 600
				WHERE a.id < $shapes{long}{sources} + 40;
			CREATE TABLE long_queries AS SELECT id - $shapes{long}{sources} AS id, embedding
				FROM long_source WHERE id >= $shapes{long}{sources};
			DELETE FROM long_source WHERE id >= $shapes{long}{sources};});
	}
	foreach my $table (sort keys %shapes)
	{
		my $t = $self->{tables}{$table};

		$node->safe_psql('postgres', qq{
			CREATE TABLE IF NOT EXISTS ${table}_source AS SELECT i AS id, clustered($t->{dim}, 20) AS embedding
				FROM generate_series(0, $t->{sources} - 1) i;
			CREATE TABLE IF NOT EXISTS ${table}_queries AS SELECT i AS id, clustered($t->{dim}, 20) AS embedding
				FROM generate_series(0, 39) i;});
	}
}

# One phase: sessions work for so many seconds, then the crash happens, if one
# is to be, and all are waited for.
sub load
{
	my ($self, $seconds, $crash) = @_;
	my @children;

	$self->{phase}++;
	# now and then everyone must come to rest before the crash: nobody hangs
	my $rest = !$crash || rand() < 0.2;
	$self->say(sprintf 'phase %d: %.1f s, then %s', $self->{phase}, $seconds, $crash // 'rest');
	foreach my $number (0 .. $writers + $readers - 1)
	{
		push @children, $self->start_session($number);
	}
	usleep(1_000_000 * $seconds);
	$self->stop_sessions(\@children) if $rest;
	$self->crash($crash) if $crash;
	$self->stop_sessions(\@children);
	$self->{truth}->read_log($_->{log}) foreach @children;
	$self->finding($_) foreach splice @{ $self->{truth}{findings} };
}

sub start_session
{
	my ($self, $number) = @_;
	my $reads = $number >= $writers;
	my $log = sprintf '%s/session-%03d-%d.log', $self->{primary}->basedir, $self->{phase}, $number;
	my $seed = ($self->{seed} * 1009 + $self->{phase}) * 101 + $number;
	my $session = StressSession->new(
		connstr => $self->{ $reads ? 'standby' : 'primary' }->connstr('postgres'),
		log => $log, tables => $self->{tables}, phase => $self->{phase}, number => $number,
		sessions => $writers, builder => $number == 0, again => $reads,
		conflicts => $reads ? ['40001', '40P01'] : [],
		rows => $reads ? {} : $self->{truth}->rows_of($number, $writers));
	my $pid = fork() // die "fork: $!";

	if ($pid == 0)
	{
		srand($seed);
		$session->run($reads ? qw(search drain filter cursor inspect) : ());
	}
	return { pid => $pid, log => $log };
}

# Asks the sessions to end after what they are at, and waits for them.
sub stop_sessions
{
	my ($self, $children) = @_;
	my $end = time() + 500;

	kill 'TERM', map { $_->{pid} } grep { !$_->{over} } @$children;
	while (grep { !$_->{over} } @$children)
	{
		foreach my $child (grep { !$_->{over} } @$children)
		{
			$child->{over} = 1 if waitpid($child->{pid}, WNOHANG) != 0;
		}
		if (time() > $end)
		{
			$self->finding("a session does not end:\n" . $self->activity);
			kill 'KILL', map { $_->{pid} } grep { !$_->{over} } @$children;
			$end = time() + 60;
		}
		usleep(20_000);
	}
}

sub activity
{
	my ($self) = @_;
	my $out = '';

	$self->{primary}->psql('postgres', q{SELECT pid, state, wait_event_type, wait_event,
		now() - query_start, left(query, 200) FROM pg_stat_activity}, stdout => \$out, timeout => 10);
	return $out;
}

# The kinds of crashes, in an order that the seed shuffles:
#	all			every process of the server at once
#	postmaster	the postmaster alone, its children find out
#	immediate	pg_ctl stop -m immediate
#	backend		one that is at work; the server restarts by itself
#	recovery	all, and again while it recovers
#	standby		the same as all, of the standby
sub next_crash
{
	my ($self) = @_;

	if (!$self->{deck} || !@{ $self->{deck} })
	{
		my @deck = qw(all backend immediate backend recovery backend postmaster all backend standby);

		$self->{deck} = [ map { splice @deck, int(rand(@deck)), 1 } 1 .. @deck ];
	}
	return shift @{ $self->{deck} };
}

sub crash
{
	my ($self, $kind) = @_;
	my $primary = $self->{primary};

	$self->{killed}++;
	if ($kind eq 'backend')
	{
		$self->crash_backend;
	}
	elsif ($kind eq 'immediate')
	{
		$primary->stop('immediate');
		$self->start_again($primary);
	}
	elsif ($kind eq 'postmaster')
	{
		my @processes = processes($primary);

		$primary->kill9;
		wait_gone(60, @processes);
		$self->start_again($primary);
	}
	else
	{
		my $node = $kind eq 'standby' ? $self->{standby} : $primary;

		kill_all($node);
		foreach (1 .. ($kind eq 'recovery' ? 1 + int(rand(2)) : 0))
		{
			kill_starting($node);
		}
		$self->start_again($node);
	}
}

# The postmaster and its children
sub processes
{
	my ($node) = @_;
	my ($pid) = $node->{_pid} or return;

	return ($pid, map { /(\d+)/ } split /\n/, `ps -o pid= --ppid $pid`);
}

sub kill_all
{
	my ($node) = @_;
	my @processes = processes($node);

	kill 'KILL', @processes;
	wait_gone(60, @processes);
	$node->{_pid} = undef;
}

# Starts a server and kills it while it recovers, or soon after.
sub kill_starting
{
	my ($node) = @_;
	my $pid;

	system_log('pg_ctl', '-W', '-D', $node->data_dir, '-l', $node->logfile,
		'-o', '--cluster-name=' . $node->name, 'start');
	# until its postmaster says who it is
	foreach my $try (1 .. 3000)
	{
		($pid) = -e $node->data_dir . '/postmaster.pid'
		  ? slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)\n/ : ();
		last if $pid && kill 0, $pid;
		usleep(20_000);
	}
	$node->{_pid} = $pid;
	usleep(rand(600_000));
	kill_all($node);
}

# Waits until the processes are gone; those that stay for too long are killed.
sub wait_gone
{
	my ($seconds, @processes) = @_;
	my $end = time() + $seconds;

	while (@processes = grep { kill 0, $_ } @processes)
	{
		kill 'KILL', @processes if time() > $end;
		usleep(20_000);
	}
}

sub start_again
{
	my ($self, $node) = @_;

	return if $node->start(fail_ok => 1);
	$self->finding($node->name . ' does not start');
	die "cannot go on\n";
}

# One backend at work, preferably of a kind that is drawn
sub crash_backend
{
	my ($self) = @_;
	my $primary = $self->{primary};
	my $wanted = ('^(INSERT|UPDATE|COPY)', '^VACUUM', '^(REINDEX|SELECT descartes)', '^(autovacuum|DELETE)', '.')
	  [ rand 5 ];
	my $pid;

	foreach my $try (1 .. 60)
	{
		my $out = '';

		$primary->psql('postgres', "SELECT pid FROM pg_stat_activity
			WHERE state = 'active' AND pid <> pg_backend_pid() AND backend_type <> 'walsender'
				AND query ~ '" . ($try < 40 ? $wanted : '.') . "' ORDER BY random() LIMIT 1",
			stdout => \$out);
		last if ($pid) = $out =~ /^(\d+)/;
		usleep(50_000);
	}
	# everyone may be at rest: then any process that has shared memory
	($pid) = (processes($primary))[1] unless $pid;
	usleep(rand(30_000));
	my $size = -s $primary->logfile;
	kill 'KILL', $pid;
	foreach my $try (1 .. 3000)
	{
		my $told = substr(slurp_file($primary->logfile), $size);

		last if $told =~ /terminated by signal 9.*database system is ready to accept connections/s;
		# it may have been gone before
		last if $try > 100 && $told !~ /terminated by signal 9/;
		usleep(50_000);
	}
}

# The rows of a server: table => id => state
sub server_rows
{
	my ($self, $node) = @_;
	my %rows;

	foreach my $table (keys %shapes)
	{
		$rows{$table} = { map { split /\|/ } split /\n/, $node->safe_psql('postgres',
				"SELECT id, ver || ' ' || note FROM $table") };
	}
	return \%rows;
}

# All checks; the server is at rest.
sub check
{
	my ($self) = @_;
	my $begun = time();
	my ($primary, $standby) = @$self{qw(primary standby)};
	my $ok = eval {
		$primary->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity
			WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()})
		  or die 'sessions are left: ' . $self->activity;
		$self->drop_invalid;
		$self->finding($_) foreach $self->{truth}->compare($self->server_rows($primary));
		$self->check_tables;
		$self->check_standby;
		$self->check_files;
		1;
	};
	$self->finding("a check broke off: $@") unless $ok;
	$self->check_logs;
	$self->{check_time} = time() - $begun;
	$self->say(sprintf 'checked in %.1f s: %s', $self->{check_time},
		join ', ', map { scalar(keys %{ $self->{truth}{rows}{$_} }) . " $_" } sort keys %shapes);
}

# What a broken REINDEX CONCURRENTLY leaves is invalid, and dropped by hand.
sub drop_invalid
{
	my ($self) = @_;
	my $primary = $self->{primary};

	$primary->safe_psql('postgres', "DROP INDEX $_") foreach split /\n/,
	  $primary->safe_psql('postgres',
		'SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid');
}

sub check_tables
{
	my ($self) = @_;
	my $primary = $self->{primary};

	foreach my $table (sort keys %shapes)
	{
		my $t = $self->{tables}{$table};

		eval { check_index($primary, "${table}_fng", 1); 1 } or $self->finding("check: $@");
		$self->check_drain($primary, $table);
		next if $primary->safe_psql('postgres', "SELECT count(*) FROM $table") < 50;
		my $recall = recall($primary, $table, $t->{operator}, 10, $t->{queries}, 'SET enable_sort = off');
		$t->{lowest} = $recall if $recall < ($t->{lowest} // 2);
		$self->finding("$table: recall\@10 is $recall") if $recall < $t->{floor};
	}
}

sub check_drain
{
	my ($self, $node, $table) = @_;
	my $t = $self->{tables}{$table};
	my $query = "(SELECT embedding FROM ${table}_queries WHERE id = " . int(rand($t->{queries})) . ')';
	my $counts = drain($node, $table, $t->{operator}, $query);

	$self->finding("$table of " . $node->name . ", by $query: " . join(', ',
			map { "$counts->{$_} $_" } qw(rows extra missing misplaced)))
	  if $counts->{extra} || $counts->{missing} || $counts->{misplaced};
}

# The standby has what the primary has: the rows, what the index says, its order
sub check_standby
{
	my ($self) = @_;
	my ($primary, $standby) = @$self{qw(primary standby)};

	$primary->wait_for_catchup($standby);
	my ($here, $there) = map { $self->server_rows($_) } $primary, $standby;
	foreach my $table (sort keys %shapes)
	{
		my $state = sub { my ($rows) = @_; join ',', map { "$_ $rows->{$_}" } sort keys %$rows };

		$self->finding("$table: the standby has other rows")
		  if $state->($here->{$table}) ne $state->($there->{$table});
		$self->check_drain($standby, $table);
		$self->check_order($table);
	}
	my $table = (sort keys %shapes)[ rand keys %shapes ];
	eval { check_index($standby, "${table}_fng", 1); 1 } or $self->finding("check on the standby: $@");
}

# Both servers answer a query alike.  Autovacuum may work on the primary
# meanwhile: only a difference that stays is one.
sub check_order
{
	my ($self, $table) = @_;
	my $t = $self->{tables}{$table};
	my $query = "(SELECT embedding FROM ${table}_queries WHERE id = " . int(rand($t->{queries})) . ')';
	my (@one, @other);

	foreach my $try (1 .. 4)
	{
		$self->{primary}->wait_for_catchup($self->{standby});
		my ($one, $other) = map { $_->safe_psql('postgres', qq{
			SET enable_seqscan = off; SET enable_sort = off;
			SELECT id, embedding $t->{operator} $query FROM $table
				ORDER BY embedding $t->{operator} $query LIMIT 200}) } @$self{qw(primary standby)};
		return if $one eq $other;
		(@one, @other) = ();
		@one = split /\n/, $one;
		@other = split /\n/, $other;
		usleep(500_000);
	}
	my @at = grep { ($one[$_] // '') ne ($other[$_] // '') } 0 .. ($#one > $#other ? $#one : $#other);
	$self->finding("$table: the standby answers otherwise to $query: "
		  . join(', ', map { "$_: " . ($one[$_] // '') . ' / ' . ($other[$_] // '') }
			@at[ 0 .. ($#at > 9 ? 9 : $#at) ]));
}

# Files of the database that no relation has; temporary files
sub unowned_files
{
	my ($self) = @_;
	my $node = $self->{primary};
	my $oid = $node->safe_psql('postgres', q{SELECT oid FROM pg_database WHERE datname = 'postgres'});
	my $base = $node->data_dir . '/base';

	$node->safe_psql('postgres', 'CHECKPOINT');
	my %owned = map { $_ => 1 } split /\n/, $node->safe_psql('postgres',
		'SELECT DISTINCT pg_relation_filenode(oid) FROM pg_class WHERE pg_relation_filenode(oid) IS NOT NULL');
	my @files = grep { /^(\d+)/ && !$owned{$1} } slurp_dir("$base/$oid");
	push @files, map { "pgsql_tmp/$_" } grep { !/^\.\.?$/ } slurp_dir("$base/pgsql_tmp")
	  if -d "$base/pgsql_tmp";
	return @files;
}

# A crash leaves the files of relations whose transaction had not committed: a
# plain REINDEX that was under way.  Nothing else may be new.
sub check_files
{
	my ($self) = @_;
	my $unfinished = $self->{truth}{unfinished};
	my @new = grep { !$self->{files}{$_} } $self->unowned_files;

	$self->{files}{$_} = 1 foreach @new;
	@new = grep { /pgsql_tmp/ } @new if grep { /^reindex/ } keys %$unfinished;
	$self->finding("files are left: @new") if @new;
	$self->{truth}{unfinished} = {};
}

sub check_logs
{
	my ($self) = @_;

	foreach my $node (@$self{qw(primary standby)})
	{
		my $seen = \$self->{seen}{ $node->name };
		my $log = slurp_file($node->logfile);
		my @told = grep { $_ =~ $alarm && $_ !~ $harmless } split /\n/, substr($log, $$seen // 0);

		$$seen = length $log;
		$self->finding('log of ' . $node->name . ': ' . join("\n", @told[ 0 .. ($#told > 9 ? 9 : $#told) ]))
		  if @told;
	}
}

# The end: the standby takes over and goes on by itself; nothing stays behind
# when the servers stop.
sub finish
{
	my ($self) = @_;
	my ($primary, $standby) = @$self{qw(primary standby)};
	my $ok = eval {
		$primary->stop;
		$standby->promote;
		$standby->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()');
		foreach my $table (sort keys %shapes)
		{
			$standby->safe_psql('postgres', qq{
				DELETE FROM $table WHERE id % 3 = 0;
				VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) $table;
				INSERT INTO $table SELECT -id - 2, 0, 0, embedding FROM ${table}_source LIMIT 50;});
			$self->check_drain($standby, $table);
			check_index($standby, "${table}_fng", 1);
		}
		$standby->stop;
		1;
	};
	$self->finding("after promotion: $@") unless $ok;
	$self->check_logs;
	foreach my $node ($primary, $standby)
	{
		my @left = grep { !/^\.\.?$/ } slurp_dir($node->data_dir . '/pg_dynshmem');

		$self->finding('shared memory of ' . $node->name . " is left: @left") if @left;
	}
	$self->say('lowest recall@10: ' . join ', ',
		map { "$_ " . ($self->{tables}{$_}{lowest} // '-') } sort keys %shapes);
}

1;
