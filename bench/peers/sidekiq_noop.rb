# The peer Sidekiq: a job that does nothing, with Sidekiq's own retries, its log of every job switched off.
#
# Usage: ruby sidekiq_noop.rb <jobs>          adds jobs and prints {"added": n}
#        sidekiq -r ./sidekiq_noop.rb ...     works them off
# Needs REDIS_URL and BENCH_QUEUE.
require 'sidekiq'

Sidekiq.logger.level = Logger::WARN

class NoopJob
  include Sidekiq::Worker
  sidekiq_options queue: ENV.fetch('BENCH_QUEUE'), retry: 3

  def perform(_number); end
end

if $PROGRAM_NAME == __FILE__
  count = Integer(ARGV.fetch(0))
  (0...count).each_slice(1_000) { |numbers| Sidekiq::Client.push_bulk('class' => NoopJob, 'args' => numbers.map { |number| [number] }) }
  puts %({"added": #{count}})
end
