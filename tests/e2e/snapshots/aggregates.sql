-- Aggregates.
SELECT count(*) FROM salesforce.contact;
--> Aggregate
-->   Output: count(*)
-->   ->  Foreign Scan on salesforce.contact
-->         Output: id, is_deleted, account_id, last_name, first_name, salutation, name, mailing_street, mailing_city, mailing_state, mailing_postal_code,…
-->         Remote Query: SELECT Id FROM Contact
--= 300
--= (1 row)
SELECT count(*) FROM salesforce.contact WHERE account_id = '001RO000000EZaiYAG';
--> Aggregate
-->   Output: count(*)
-->   ->  Foreign Scan on salesforce.contact
-->         Output: id, is_deleted, account_id, last_name, first_name, salutation, name, mailing_street, mailing_city, mailing_state, mailing_postal_code,…
-->         Remote Query: SELECT Id FROM Contact WHERE AccountId = '001RO000000EZaiYAG'
--= 24
--= (1 row)
SELECT count(*) FROM salesforce.contact WHERE last_name = 'Smith';
--> Aggregate
-->   Output: count(*)
-->   ->  Foreign Scan on salesforce.contact
-->         Output: id, is_deleted, account_id, last_name, first_name, salutation, name, mailing_street, mailing_city, mailing_state, mailing_postal_code,…
-->         Filter: (contact.last_name = 'Smith'::text)
-->         Remote Query: SELECT LastName FROM Contact WHERE LastName = 'Smith'
--= 10
--= (1 row)
SELECT count(score__c), sum(score__c), avg(score__c), min(score__c), max(score__c) FROM salesforce.contact;
--> Aggregate
-->   Output: count(score__c), sum(score__c), avg(score__c), min(score__c), max(score__c)
-->   ->  Foreign Scan on salesforce.contact
-->         Output: id, is_deleted, account_id, last_name, first_name, salutation, name, mailing_street, mailing_city, mailing_state, mailing_postal_code,…
-->         Remote Query: SELECT Score__c FROM Contact
--= 273 | 15285710101095.4946470 | 55991612091.92488882 | -999999999999.999999 | 999999999999.999999
--= (1 row)
SELECT min(birthdate), max(created_date) FROM salesforce.contact;
--> Aggregate
-->   Output: min(birthdate), max(created_date)
-->   ->  Foreign Scan on salesforce.contact
-->         Output: id, is_deleted, account_id, last_name, first_name, salutation, name, mailing_street, mailing_city, mailing_state, mailing_postal_code,…
-->         Remote Query: SELECT Birthdate, CreatedDate FROM Contact
--= 1700-01-01 | 2024-04-03 10:21:11+00
--= (1 row)
SELECT count(DISTINCT account_id), count(DISTINCT birthdate) FROM salesforce.contact;
--> Aggregate
-->   Output: count(DISTINCT account_id), count(DISTINCT birthdate)
-->   ->  Foreign Scan on salesforce.contact
-->         Output: id, is_deleted, account_id, last_name, first_name, salutation, name, mailing_street, mailing_city, mailing_state, mailing_postal_code,…
-->         Remote Query: SELECT AccountId, Birthdate FROM Contact
--= 40 | 223
--= (1 row)
SELECT count(DISTINCT last_name), min(last_name) FROM salesforce.contact;
--> Aggregate
-->   Output: count(DISTINCT last_name), min(last_name)
-->   ->  Foreign Scan on salesforce.contact
-->         Output: id, is_deleted, account_id, last_name, first_name, salutation, name, mailing_street, mailing_city, mailing_state, mailing_postal_code,…
-->         Remote Query: SELECT LastName FROM Contact
--= 25 | 100%
--= (1 row)
SELECT count(*) FILTER (WHERE do_not_call) FROM salesforce.contact;
--> Aggregate
-->   Output: count(*) FILTER (WHERE do_not_call)
-->   ->  Foreign Scan on salesforce.contact
-->         Output: id, is_deleted, account_id, last_name, first_name, salutation, name, mailing_street, mailing_city, mailing_state, mailing_postal_code,…
-->         Remote Query: SELECT DoNotCall FROM Contact
--= 20
--= (1 row)
SELECT sum(number_of_employees), avg(annual_revenue) FROM salesforce.account WHERE active__c;
--> Aggregate
-->   Output: sum(number_of_employees), avg(annual_revenue)
-->   ->  Foreign Scan on salesforce.account
-->         Output: id, is_deleted, master_record_id, name, type, parent_id, billing_street, billing_city, billing_state, billing_postal_code, billing_cou…
-->         Remote Query: SELECT AnnualRevenue, NumberOfEmployees FROM Account WHERE Active__c = TRUE
--= 3937087 | 3912730097.66666667
--= (1 row)
