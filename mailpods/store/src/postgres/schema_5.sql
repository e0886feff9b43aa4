-- What is few among a million is found without reading all of them: leases of a worker, and units on hold.
CREATE INDEX unit_leased ON unit (worker, due) WHERE lease <> 0;
CREATE INDEX unit_held ON unit (shard, id) WHERE held;
