# One session of the stress driver: a psql behind a pipe that does operations
# at random on rows of its own and writes down what the server acknowledged.
#
# Every row of a table belongs to one session, by its id, so each session knows
# what its rows are.  What others must find out after a crash is in its log,
# a file outside the server, a line each:
#
#	O operation			begun
#	I table id state	intents of a transaction: this row is to have this
#						state ("-": it is to be gone)
#	C					COMMIT, or the one statement, goes to the server
#	A					the server has acknowledged it
#	X					the server has refused it
#	! text				a finding
#	.					the operation is over
#
# A "C" that neither "A" nor "X" follows was cut off by a crash: its rows have
# their new state, all of them, or none has.

package StressSession;

use strict;
use warnings;

use Differential;
use IO::Handle;
use IO::Select;
use IPC::Open3;
use POSIX qw(_exit);
use Time::HiRes qw(time usleep);

# Seconds without an answer after which a statement counts as hanging
my $patience = 400;

# What psql says when the server is gone, and errors of a server that goes
my $lost = qr/server closed the connection|connection to server was lost|no connection to the server|^(?:psql: )?error: connection to server|could not (?:send|receive) data/;
my %going = map { $_ => 1 } qw(57P01 57P02 57P03 08000 08003 08006);

# A session, not connected.  Arguments: connstr; log (a file); tables (what
# Stress.pm has of them); rows (table => id => state, of this session only);
# number and sessions (its number and how many there are); phase; builder (1 if
# this one builds indexes); conflicts (SQLSTATEs that may end a query); again
# (1 to connect anew when the connection is lost).
sub new
{
	my ($class, %self) = @_;
	my $self = bless { conflicts => [], %self, stop => 0, next => {} }, $class;

	open $self->{file}, '>>', $self->{log} or die "$self->{log}: $!";
	$self->{file}->autoflush(1);
	return $self;
}

sub connect
{
	my ($self) = @_;

	close $self->{in} if $self->{in};
	waitpid $self->{pid}, 0 if $self->{pid};
	@$self{qw(in out done buffer)} = (undef, undef, 0, '');
	$self->{pid} = open3($self->{in}, $self->{out}, undef, 'psql', '-XAtq', '-d', $self->{connstr});
	$self->{select} = IO::Select->new($self->{out});
	$self->must($_) foreach 'SET enable_seqscan = off', 'SET enable_sort = off',
	  'SET client_min_messages = error';
}

sub note_down
{
	my ($self, $line) = @_;

	$line =~ s/\n/\\n/g;
	print { $self->{file} } "$line\n";
}

sub finding
{
	my ($self, $text) = @_;

	$self->note_down("! $text");
}

# Sends a statement, with the lines that it reads, and waits for the answer.
# Returns it as a list of lines; $self->{sqlstate} is that of the error or
# "00000".  Dies with "lost" if the connection breaks.
sub query
{
	my ($self, $sql, $lines) = @_;
	my $end = time() + $patience;

	$self->{done}++;
	my $mark = "~~ $self->{done} ";
	print { $self->{in} } "$sql;\n", $lines // '', "\\echo $mark:SQLSTATE\n" or die "lost\n";
	$self->{in}->flush or die "lost\n";
	while (1)
	{
		if ($self->{buffer} =~ s/\A(.*?)^\Q$mark\E(\w+)\n//ms)
		{
			@$self{qw(answer sqlstate)} = ($1, $2);
			last;
		}
		if (time() > $end)
		{
			$self->finding("no answer for $patience s: $sql");
			_exit(1);
		}
		next unless $self->{select}->can_read(1);
		my $n = sysread $self->{out}, $self->{buffer}, 65536, length $self->{buffer};
		next if !defined $n && $!{EINTR};
		die "lost\n" unless $n;
	}
	die "lost\n" if $going{ $self->{sqlstate} } || $self->{answer} =~ $lost;
	return split /\n/, $self->{answer};
}

# A statement that must work, unless one of the errors in the list comes.
# Returns its answer; dies with "failed" after an error.
sub must
{
	my ($self, $sql, @allowed) = @_;
	my @answer = $self->query($sql);

	return @answer if $self->{sqlstate} eq '00000';
	$self->finding("$self->{sqlstate} by: $sql: $self->{answer}")
	  unless $self->allows(@allowed);
	die "failed\n";
}

# Is the error one that the operation has to expect?  An index that is gone
# because of REINDEX CONCURRENTLY has no code of its own.
sub allows
{
	my ($self, @allowed) = @_;

	return 1 if grep { $_ eq $self->{sqlstate} } @allowed;
	return (grep { $_ eq 'gone' } @allowed)
	  && $self->{answer} =~ /could not open relation with OID|cache lookup failed for (?:index|relation)/;
}

# Sends what commits these changes, a list of [table, id, state], and keeps
# account of it.
sub commit
{
	my ($self, $sql, $changes, %options) = @_;

	$self->note_down("I $_->[0] $_->[1] " . ($_->[2] // '-')) foreach @$changes;
	$self->note_down('C');
	$self->query($sql, $options{lines});
	if ($self->{sqlstate} eq '00000')
	{
		$self->note_down('A');
		foreach my $change (@$changes)
		{
			my ($table, $id, $state) = @$change;

			delete $self->{rows}{$table}{$id};
			$self->{rows}{$table}{$id} = $state if defined $state;
		}
		return;
	}
	$self->note_down('X');
	$self->finding("$self->{sqlstate} by: " . substr($sql, 0, 300) . ": $self->{answer}")
	  unless $self->allows(@{ $options{allowed} // [] });
	die "failed\n";
}

# Some of the session's rows of a table
sub some_rows
{
	my ($self, $table, $n) = @_;
	my @ids = sort { $a <=> $b } keys %{ $self->{rows}{$table} };
	my @chosen;

	while (@ids && @chosen < $n)
	{
		push @chosen, splice(@ids, int(rand(@ids)), 1);
	}
	return @chosen;
}

# Ids that nobody has had
sub new_ids
{
	my ($self, $table, $n) = @_;

	return map {
		(($self->{phase} * 100_000) + $self->{next}{$table}++) * $self->{sessions} + $self->{number}
	} 1 .. $n;
}

# Where the vector of a new row comes from: the id of a row of the source, or
# NULL; -1 is the zero vector
sub source
{
	my ($self, $table) = @_;
	my $t = $self->{tables}{$table};
	my $draw = rand();

	return 'NULL' if $draw < 0.03;
	return -1 if $draw < 0.06;
	# now and then one of a few vectors
	return int(rand(5)) if $draw < 0.12;
	return int(rand($t->{sources}));
}

# INSERT of rows with these ids, and the changes that it makes
sub insertion
{
	my ($self, $table, @ids) = @_;
	my $values = join ',', map { "($_, 0, " . $self->source($table) . '::int)' } @ids;

	return (qq{INSERT INTO $table (id, ver, note, embedding) SELECT v.id, v.ver, 0, s.embedding
		FROM (VALUES $values) v(id, ver, n) LEFT JOIN ${table}_source s ON s.id = v.n},
		map { [ $table, $_, '0 0' ] } @ids);
}

# UPDATE of the vectors of these rows
sub replacement
{
	my ($self, $table, @ids) = @_;
	my %ver = map { $_ => (split / /, $self->{rows}{$table}{$_})[0] + 1 } @ids;
	my $values = join ',', map { "($_, $ver{$_}, " . $self->source($table) . '::int)' } @ids;

	return (qq{UPDATE $table t SET ver = v.ver, embedding = s.embedding
		FROM (VALUES $values) v(id, ver, n) LEFT JOIN ${table}_source s ON s.id = v.n
		WHERE t.id = v.id},
		map { [ $table, $_, "$ver{$_} " . (split / /, $self->{rows}{$table}{$_})[1] ] } @ids);
}

# UPDATE of another column: HOT if the page has room
sub remark
{
	my ($self, $table, @ids) = @_;
	my @changes;

	foreach my $id (@ids)
	{
		my ($ver, $note) = split / /, $self->{rows}{$table}{$id};

		push @changes, [ $table, $id, "$ver " . ($note + 1) ];
	}
	return ("UPDATE $table SET note = note + 1 WHERE id IN (" . join(',', @ids) . ')', @changes);
}

sub deletion
{
	my ($self, $table, @ids) = @_;

	return ("DELETE FROM $table WHERE id IN (" . join(',', @ids) . ')',
		map { [ $table, $_, undef ] } @ids);
}

# One random change of a table: SQL and changes
sub any_change
{
	my ($self, $table) = @_;
	my @ids = $self->some_rows($table, 1 + int(rand(4)));
	my $draw = rand();

	return $self->insertion($table, $self->new_ids($table, 1 + int(rand(5))))
	  if !@ids || $draw < 0.4;
	return $self->replacement($table, @ids) if $draw < 0.7;
	return $self->remark($table, @ids) if $draw < 0.8;
	return $self->deletion($table, @ids);
}

sub order_by
{
	my ($self, $table) = @_;
	my $t = $self->{tables}{$table};
	my $query = "(SELECT embedding FROM ${table}_queries WHERE id = " . int(rand($t->{queries})) . ')';

	return ($t->{operator}, $query);
}

# The operations.  Each gets a table.
my %operations = (
	insert => [ 12, sub {
		my ($self, $table) = @_;
		my ($sql, @changes) = $self->insertion($table, $self->new_ids($table, 1));

		$self->commit($sql, \@changes);
	} ],
	insert_many => [ 6, sub {
		my ($self, $table) = @_;
		my $most = $self->{tables}{$table}{batch};
		my ($sql, @changes) = $self->insertion($table, $self->new_ids($table, 2 + int(rand($most))));

		$self->commit($sql, \@changes);
	} ],
	copy => [ 4, sub {
		my ($self, $table) = @_;
		my $t = $self->{tables}{$table};
		my @ids = $self->new_ids($table, 1 + int(rand($t->{batch})));
		my $lines = join '', map { my $v = $t->{literals}[ rand @{ $t->{literals} } ];
			"$_\t0\t0\t" . (rand() < 0.05 ? '\\N' : $v) . "\n" } @ids;

		$self->commit("COPY $table (id, ver, note, embedding) FROM STDIN",
			[ map { [ $table, $_, '0 0' ] } @ids ], lines => "$lines\\.\n");
	} ],
	upsert => [ 2, sub {
		my ($self, $table) = @_;
		my @ids = ($self->some_rows($table, 2), $self->new_ids($table, 1));
		my ($sql) = $self->insertion($table, @ids);
		my @changes = map { my ($ver, $note) = split / /, $self->{rows}{$table}{$_} // '-1 0';
			[ $table, $_, $ver + 1 . " $note" ] } @ids;

		$self->commit("$sql ON CONFLICT (id) DO UPDATE SET ver = $table.ver + 1,
			embedding = excluded.embedding", \@changes);
	} ],
	replace => [ 9, sub {
		my ($self, $table) = @_;
		my @ids = $self->some_rows($table, 1 + int(rand(6))) or return;
		my ($sql, @changes) = $self->replacement($table, @ids);

		$self->commit($sql, \@changes);
	} ],
	remark => [ 5, sub {
		my ($self, $table) = @_;
		my @ids = $self->some_rows($table, 1 + int(rand(4))) or return;
		my ($sql, @changes) = $self->remark($table, @ids);

		$self->commit($sql, \@changes);
	} ],
	delete => [ 6, sub {
		my ($self, $table) = @_;
		my @ids = $self->some_rows($table, 1 + int(rand(8))) or return;
		my ($sql, @changes) = $self->deletion($table, @ids);

		$self->commit($sql, \@changes);
	} ],
	# back to the size that the table is to have, and below it
	thin => [ 4, sub {
		my ($self, $table) = @_;
		my $surplus = keys(%{ $self->{rows}{$table} })
		  - $self->{tables}{$table}{rows} / $self->{sessions};
		return if $surplus <= 0;
		my ($sql, @changes) = $self->deletion($table, $self->some_rows($table, 1.2 * $surplus));

		$self->commit($sql, \@changes);
	} ],
	clear => [ 0.2, sub {
		my ($self, $table) = @_;
		my @ids = keys %{ $self->{rows}{$table} } or return;
		my ($sql, @changes) = $self->deletion($table, @ids);

		$self->commit($sql, \@changes);
	} ],
	transaction => [ 5, \&transaction ],
	cancel => [ 3, \&cancel ],
	search => [ 12, sub {
		my ($self, $table) = @_;
		my ($operator, $query) = $self->order_by($table);
		my $limit = (1, 10, 10, 100, 400)[ rand 5 ];
		my ($row) = $self->must(qq{WITH i AS MATERIALIZED (SELECT id FROM $table
				ORDER BY embedding $operator $query LIMIT $limit)
			SELECT count(*) || ' ' || count(DISTINCT id) || ' ' || (SELECT count(*) FROM $table) FROM i},
			@{ $self->{conflicts} });
		my ($n, $distinct, $all) = split / /, $row;

		$self->finding("$table: LIMIT $limit of $all rows gave $n, $distinct different ones")
		  if $n != $distinct || $n != ($limit < $all ? $limit : $all);
	} ],
	drain => [ 3, sub {
		my ($self, $table) = @_;

		$self->read_all($table);
	} ],
	filter => [ 3, sub {
		my ($self, $table) = @_;

		$self->read_all($table, where => 'id % 10 = ' . int(rand(10)));
	} ],
	cursor => [ 3, \&cursor ],
	vacuum => [ 4, sub {
		my ($self, $table) = @_;
		my @options = ('INDEX_CLEANUP ON', rand() < 0.1 ? () : 'TRUNCATE OFF');

		push @options, 'PARALLEL ' . int(rand(3));
		push @options, 'FREEZE' if rand() < 0.2;
		push @options, 'ANALYZE' if rand() < 0.2;
		$self->must('SET vacuum_cost_delay = ' . (rand() < 0.3 ? 1 : 0));
		$self->must('VACUUM (' . join(', ', @options) . ") $table", '40P01');
	} ],
	check => [ 0.7, sub {
		my ($self, $table) = @_;

		$self->must("SELECT descartes_index_check('${table}_fng', " . (rand() < 0.5 ? 'true)' : 'false)'),
			'40P01', 'gone');
	} ],
	inspect => [ 0.5, sub {
		my ($self, $table) = @_;

		my $call = ("stats('${table}_fng')", "recall('${table}_fng', 5)", "prewarm('${table}_fng')")[ rand 3 ];

		$self->must("SELECT descartes_index_$call", '40P01', 'gone');
	} ],
	refine => [ 1, sub {
		my ($self, $table) = @_;

		$self->must("SELECT descartes_index_refine('${table}_fng')", '40P01', 'gone');
	} ],
	checkpoint => [ 0.7, sub { $_[0]->must('CHECKPOINT') } ],
	reindex => [ 0.5, sub {
		my ($self, $table) = @_;

		return unless $self->{builder};
		$self->must('REINDEX INDEX ' . (rand() < 0.8 ? 'CONCURRENTLY ' : '') . "${table}_fng",
			'40P01');
	} ]);

# Several statements, savepoints, COMMIT or ROLLBACK
sub transaction
{
	my ($self, $table) = @_;
	my (@changes, %before);

	# Statements see what earlier ones of the transaction did, so the rows are
	# kept up as it goes and put back at the end.
	my $rows = $self->{rows}{$table};
	my $saved = {%$rows};
	my $run = sub {
		my ($sql, @made) = $self->any_change($table);

		$self->must($sql);
		foreach my $change (@made)
		{
			delete $rows->{ $change->[1] };
			$rows->{ $change->[1] } = $change->[2] if defined $change->[2];
		}
		push @changes, @made;
	};
	my $ok = eval {
		$self->must('BEGIN');
		$run->() foreach 1 .. 1 + int(rand(3));
		foreach (1 .. int(rand(3)))
		{
			my ($inner, $n) = ({%$rows}, scalar @changes);

			$self->must('SAVEPOINT s');
			$run->() foreach 1 .. 1 + int(rand(2));
			if (rand() < 0.5)
			{
				$self->must('ROLLBACK TO s');
				%$rows = %$inner;
				$#changes = $n - 1;
			}
		}
		1;
	};
	my $error = $@;
	%$rows = %$saved;
	die $error unless $ok;
	if (rand() < 0.4)
	{
		$self->must('ROLLBACK');
		return;
	}
	$self->commit('COMMIT', \@changes);
}

# A change, VACUUM or refinement that is cancelled somewhere
sub cancel
{
	my ($self, $table) = @_;

	$self->must('SET statement_timeout = ' . (1 + int(rand(40))));
	my $ok = eval {
		my $draw = rand();

		if ($draw < 0.3)
		{
			$self->must("VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) $table", '57014');
		}
		elsif ($draw < 0.45)
		{
			$self->must("SELECT descartes_index_refine('${table}_fng')", '57014', '40P01', 'gone');
		}
		else
		{
			my ($sql, @changes) = $self->any_change($table);

			$self->commit($sql, \@changes, allowed => ['57014']);
		}
		1;
	};
	my $error = $@;
	die $error if !$ok && $error ne "failed\n";
	# which may be cancelled, too
	do { $self->query('RESET statement_timeout') } until $self->{sqlstate} eq '00000';
}

# A cursor that is read in pieces while others go on: the rows of its
# snapshot, each once
sub cursor
{
	my ($self, $table) = @_;
	my ($operator, $query) = $self->order_by($table);
	my @conflicts = @{ $self->{conflicts} };
	my @got;

	$self->must('BEGIN ISOLATION LEVEL REPEATABLE READ');
	my @wanted = $self->must("SELECT id FROM $table", @conflicts);
	$self->must("DECLARE c CURSOR FOR SELECT id FROM $table ORDER BY embedding $operator $query",
		@conflicts);
	foreach (1 .. 1 + int(rand(4)))
	{
		push @got, $self->must('FETCH ' . (1, 20, 300)[ rand 3 ] . ' FROM c', @conflicts);
		usleep(rand(400_000));
	}
	push @got, $self->must('FETCH ALL FROM c', @conflicts);
	$self->must('COMMIT');
	my %times;
	$times{$_}++ foreach @got;
	my @twice = grep { $times{$_} > 1 } keys %times;
	my @missing = grep { !delete $times{$_} } @wanted;
	my @extra = keys %times;
	$self->finding("$table: a cursor by $operator $query gave rows twice (@twice), not (@missing), or too many (@extra)")
	  if @twice || @missing || @extra;
}

# All rows by the index, against all of the heap in the same snapshot
sub read_all
{
	my ($self, $table, %options) = @_;
	my ($operator, $query) = $self->order_by($table);
	my ($row) = $self->must(drain_query($table, $operator, $query, %options), @{ $self->{conflicts} });
	my ($rows, $extra, $missing, $inversions, $misplaced) = split /\|/, $row;

	$self->finding("$table: of $rows rows $extra extra, $missing missing, $misplaced misplaced by $operator $query "
		  . ($options{where} // '')) if $extra || $missing || $misplaced;
}

# Do operations until the connection breaks or the process gets SIGTERM.
# $only: the names of those that are possible; all by default.  Never returns.
sub run
{
	my ($self, @only) = @_;

	local $SIG{TERM} = sub { $self->{stop} = 1 };
	local $SIG{PIPE} = 'IGNORE';
	my @names = sort(@only ? @only : keys %operations);
	my @lots = map { [ $_, $operations{$_}[0] ] } @names;
	my @tables = map { my $t = $_; ($t) x $self->{tables}{$t}{weight} } sort keys %{ $self->{tables} };

	until ($self->{stop})
	{
		eval {
			$self->connect;
			$self->operate(\@lots, \@tables) until $self->{stop};
			1;
		} and next;
		if ($@ ne "lost\n")
		{
			$self->finding("the driver: $@");
			last;
		}
		last unless $self->{again};
		usleep(200_000);
	}
	_exit(0);
}

# One operation on one of the tables
sub operate
{
	my ($self, $lots, $tables) = @_;
	my $name = draw(@$lots);
	my $table = $tables->[ rand @$tables ];

	$self->note_down("O $name $table");
	if (!eval { $operations{$name}[1]->($self, $table); 1 })
	{
		die $@ if $@ ne "failed\n";
		$self->query('ROLLBACK');
	}
	$self->note_down('.');
}

# One of [name, weight], ...
sub draw
{
	my (@lots) = @_;
	my $sum = 0;

	$sum += $_->[1] foreach @lots;
	my $draw = rand($sum);
	foreach my $lot (@lots)
	{
		$draw -= $lot->[1];
		return $lot->[0] if $draw < 0;
	}
	return $lots[-1][0];
}

1;
