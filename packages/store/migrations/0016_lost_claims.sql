-- Claims that counted as crashes, by the worker that had them: one that turns out to be alive takes them back.
CREATE INDEX attempts_lost ON millrace.attempts (worker) WHERE outcome = 'lost' AND error IS NULL;
