-- What is few among a million is found without reading all of them: leases, units on hold, bodies in files. And the oldest unit of each
-- sender, wherever it goes.
CREATE INDEX unit_leased ON unit (id) WHERE lease <> 0;
CREATE INDEX unit_held ON unit (id) WHERE held = 1;
CREATE INDEX unit_tenant ON unit (tenant, due) WHERE held = 0 AND destination <> 'local';
CREATE INDEX body_file ON body (file) WHERE file IS NOT NULL;
