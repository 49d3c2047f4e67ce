# What must be in the tables: the truth that the stress driver keeps outside
# the server, from the logs of its sessions (StressSession.pm).

package StressTruth;

use strict;
use warnings;

# rows: table => id => state, of what is acknowledged; open: transactions that
# a crash cut off, each a list of [table, id, state]; operations: name => how
# often; findings: texts.
sub new
{
	my ($class) = @_;

	return bless { rows => {}, open => [], operations => {}, findings => [], unfinished => {} },
	  $class;
}

# Takes in the log of a session that has ended.
sub read_log
{
	my ($self, $log) = @_;
	my (@changes, $sent, $operation);

	open my $file, '<', $log or die "$log: $!";
	while (my $line = <$file>)
	{
		my ($what, $rest) = $line =~ /^(.) ?(.*)\n/ or next;

		if ($what eq 'O')
		{
			$self->{operations}{ (split / /, $rest)[0] }++;
			$operation = $rest;
		}
		elsif ($what eq 'I')
		{
			my ($table, $id, $state) = split / /, $rest, 3;

			push @changes, [ $table, $id, $state eq '-' ? undef : $state ];
		}
		elsif ($what eq 'C')
		{
			$sent = 1;
		}
		elsif ($what eq 'A')
		{
			$self->set(@$_) foreach @changes;
		}
		elsif ($what eq '!')
		{
			push @{ $self->{findings} }, $rest;
		}
		elsif ($what eq '.')
		{
			undef $operation;
		}
		if ($what =~ /[AX.]/)
		{
			@changes = ();
			undef $sent;
		}
	}
	push @{ $self->{open} }, [@changes] if $sent && @changes;
	$self->{unfinished}{$operation} = 1 if defined $operation;
}

sub set
{
	my ($self, $table, $id, $state) = @_;

	if (defined $state)
	{
		$self->{rows}{$table}{$id} = $state;
	}
	else
	{
		delete $self->{rows}{$table}{$id};
	}
}

# The rows of one session out of several
sub rows_of
{
	my ($self, $number, $sessions) = @_;
	my %mine;

	foreach my $table (keys %{ $self->{rows} })
	{
		my $rows = $self->{rows}{$table};

		$mine{$table} = { map { $_ => $rows->{$_} } grep { $_ % $sessions == $number } keys %$rows };
	}
	return \%mine;
}

# Compares with the rows that the server has (table => id => state), which
# also tells how the open transactions ended.  Returns a list of findings.
sub compare
{
	my ($self, $server) = @_;
	my @findings;

	foreach my $changes (@{ $self->{open} })
	{
		# the last change of a row counts
		my %last = map { ("$_->[0] $_->[1]" => $_) } @$changes;
		my ($done, $undone) = (0, 0);

		foreach my $change (values %last)
		{
			my ($table, $id, $state) = @$change;
			my $before = $self->{rows}{$table}{$id} // '-';
			my $now = $server->{$table}{$id} // '-';

			next if $before eq ($state // '-');
			$done++ if $now eq ($state // '-');
			$undone++ if $now eq $before;
		}
		push @findings, "a transaction is there in part: $done of its rows, $undone not"
		  if $done && $undone;
		next unless $done;
		$self->set(@$_) foreach values %last;
	}
	$self->{open} = [];

	foreach my $table (sort keys %$server)
	{
		my ($wanted, $found) = ($self->{rows}{$table} // {}, $server->{$table});
		my @lost = grep { !exists $found->{$_} } keys %$wanted;
		my @back = grep { !exists $wanted->{$_} } keys %$found;
		my @other = grep { exists $found->{$_} && $found->{$_} ne $wanted->{$_} } keys %$wanted;

		push @findings, "$table: committed rows are lost: @lost" if @lost;
		push @findings, "$table: rows are there that nobody committed: @back" if @back;
		push @findings, "$table: rows in another state: "
		  . join(', ', map { "$_: $found->{$_}, not $wanted->{$_}" } @other) if @other;
		$self->{rows}{$table} = {%$found};
	}
	return @findings;
}

1;
