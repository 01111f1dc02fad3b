-- NULL is what SQL says it is.
SELECT id FROM salesforce.contact WHERE account_id IS NULL;
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: SELECT Id FROM Contact WHERE AccountId = null
--= 003RO000000EZamYAG
--= 003RO000000EZarYAG
--= 003RO000000EZbKYAW
--= 003RO000000EZbRYAW
--= 003RO000000EZbcYAG
--= (22 rows)
SELECT id FROM salesforce.contact WHERE first_name IS NOT NULL;
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: SELECT Id FROM Contact WHERE FirstName != null
--= 003RO000000EZaiYAG
--= 003RO000000EZajYAG
--= 003RO000000EZakYAG
--= 003RO000000EZamYAG
--= 003RO000000EZanYAG
--= (271 rows)
SELECT id FROM salesforce.contact WHERE score__c = NULL;
--> Result
-->   Output: id
-->   One-Time Filter: false
--= (0 rows)
SELECT id FROM salesforce.contact WHERE account_id NOT IN ('001RO000000EZaiYAG', NULL);
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: nothing: no record can match
--= (0 rows)
SELECT id FROM salesforce.contact WHERE score__c IS DISTINCT FROM 0;
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: SELECT Id FROM Contact WHERE (Score__c != 0 AND Score__c != null) OR Score__c = null
--= 003RO000000EZaiYAG
--= 003RO000000EZajYAG
--= 003RO000000EZakYAG
--= 003RO000000EZalYAG
--= 003RO000000EZamYAG
--= (286 rows)
SELECT id FROM salesforce.contact WHERE score__c IS NOT DISTINCT FROM NULL;
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Remote Query: SELECT Id FROM Contact WHERE Score__c = null
--= 003RO000000EZakYAG
--= 003RO000000EZamYAG
--= 003RO000000EZaqYAG
--= 003RO000000EZb0YAG
--= 003RO000000EZb3YAG
--= (27 rows)
SELECT id FROM salesforce.contact WHERE (score__c > 0) IS UNKNOWN;
--> Foreign Scan on salesforce.contact
-->   Output: id
-->   Filter: ((contact.score__c > '0'::numeric) IS UNKNOWN)
-->   Remote Query: SELECT Id, Score__c FROM Contact
--= 003RO000000EZakYAG
--= 003RO000000EZamYAG
--= 003RO000000EZaqYAG
--= 003RO000000EZb0YAG
--= 003RO000000EZb3YAG
--= (27 rows)
