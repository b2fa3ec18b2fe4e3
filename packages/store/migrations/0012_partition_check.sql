-- Proves that every row lies below the bound of 0011, so that the next file need not look. Reads each table once; nobody is kept from reading or writing.
ALTER TABLE millrace.events VALIDATE CONSTRAINT partition_bound;
ALTER TABLE millrace.attempts VALIDATE CONSTRAINT partition_bound;
ALTER TABLE millrace.steps VALIDATE CONSTRAINT partition_bound;
ALTER TABLE millrace.signals VALIDATE CONSTRAINT partition_bound;
ALTER TABLE millrace.cancellations VALIDATE CONSTRAINT partition_bound;
ALTER TABLE millrace.phases VALIDATE CONSTRAINT partition_bound;
ALTER TABLE millrace.phases VALIDATE CONSTRAINT phases_held_check;
ALTER TABLE millrace.flows VALIDATE CONSTRAINT partition_bound;
